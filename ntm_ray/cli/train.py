"""`ntm-ray train`: train one configuration."""

from __future__ import annotations

import json as json_format
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ntm_ray.cli.options import (
    Device,
    Json,
    MaxDocumentFraction,
    MaxWords,
    NumTopics,
    Precision,
    Seed,
    Settings,
    Source,
    ValidationFraction,
    console_for,
    given,
    parse_settings,
)

if TYPE_CHECKING:
    from ntm_ray.model import EpochRecord


def train_command(
    source: Source = None,
    num_topics: NumTopics = None,
    settings: Settings = None,
    epochs: Annotated[
        int | None, typer.Option(help="Most epochs. Default: 50.", show_default=False)
    ] = None,
    seed: Seed = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="The model folder to write. Default: one in runs, named by corpus and time.",
            show_default=False,
        ),
    ] = None,
    device: Device = None,
    precision: Precision = None,
    max_words: MaxWords = None,
    max_document_fraction: MaxDocumentFraction = None,
    validation_fraction: ValidationFraction = None,
    json: Json = False,
) -> None:
    """Train one configuration, and write the model of its best epoch."""
    fixed = parse_settings(settings)
    console = console_for(json=json)
    from ntm_ray.corpus import Corpus, ReadOptions, unigram_loss
    from ntm_ray.model import NTM, check_replaceable
    from ntm_ray.report import describe_corpus, print_training
    from ntm_ray.report.diagnosis import for_json
    from ntm_ray.report.summary import TOPIC_WORDS
    from ntm_ray.tuning.job import DEFAULT_TOPICS

    hyperparameters: dict[str, Any] = {"num_topics": DEFAULT_TOPICS}
    hyperparameters |= given(num_topics=num_topics, epochs=epochs) | fixed
    model = NTM(hyperparameters)
    options = ReadOptions.parse(
        given(
            max_words=max_words,
            max_document_fraction=max_document_fraction,
            validation_fraction=validation_fraction,
        )
    )
    source = source or "docstrings"
    console.print(f"Reading {source} ...", soft_wrap=True)
    corpus = Corpus.read(source, options=options)
    console.print(describe_corpus(corpus))
    folder = output or Path("runs") / time.strftime(f"{_plain(corpus.name)}-model-%Y%m%d-%H%M%S")

    check_replaceable(folder)  # before hours of training, not after

    def show(record: EpochRecord) -> None:
        loss = f"train {record.train.total_loss:.4f}"
        if record.validation is not None:
            loss += f"  validation {record.validation.total_loss:.4f}"
        speed = f"{record.documents_per_second:,.0f} documents/s"
        console.print(f"epoch {record.epoch:3d}  {loss}  {record.seconds:.2f} s  {speed}")

    how = given(device=device, precision=precision)
    model.fit(corpus, seed=seed or 0, on_epoch=show, **how)
    model.save(folder)
    unigram = None
    if corpus.documents["validation"]:
        unigram = unigram_loss(corpus.train, corpus.validation)
    if json:
        result = {
            "model": str(folder),
            "hyperparameters": model.hyperparameters.to_json_dict(),
            "metrics": model.metrics,
            "baselines": {"unigram": unigram},
            "epochs": [_finite(record.metrics()) for record in model.history],
            **for_json(model.evidence),
        }
        typer.echo(json_format.dumps(result, allow_nan=False))
    else:
        topics = model.topics(TOPIC_WORDS)
        print_training(console, folder, model.metrics, unigram, topics, model.evidence)


def _finite(row: dict[str, float]) -> dict[str, float | None]:
    """An epoch's row for JSON, which has no infinity: what is not finite is null."""
    return {name: value if math.isfinite(value) else None for name, value in row.items()}


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)
