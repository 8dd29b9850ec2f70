"""`ntm-ray topics`: the topics of a model."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ntm_ray.cli.options import Json, console_for
from ntm_ray.errors import ModelFolderError

if TYPE_CHECKING:
    from ntm_ray.model import NTM


def topics_command(
    model: Annotated[
        str,
        typer.Argument(help="A model folder, or a job folder for its best; a path or a URI."),
    ],
    words: Annotated[int, typer.Option(min=1, help="Words a topic.")] = 10,
    json: Json = False,
) -> None:
    """Show a model's topics as their most probable words."""
    from ntm_ray.corpus.object_store import is_uri
    from ntm_ray.model import NTM
    from ntm_ray.report import print_topics

    if is_uri(model):
        ntm, folder = _fetched(model)
    else:
        path = Path(model, "best") if Path(model, "job.yaml").is_file() else Path(model)
        ntm, folder = NTM.load(path), str(path)
    topics = ntm.topics(words)
    if not json:
        print_topics(console_for(json=False), topics)
        return
    probabilities = ntm.topic_word
    column = {word: index for index, word in enumerate(ntm.vocabulary)}
    content = [
        {
            "topic": number,
            "words": top,
            "probabilities": [float(probabilities[number, column[word]]) for word in top],
        }
        for number, top in enumerate(topics)
    ]
    typer.echo(json_format.dumps({"model": folder, "topics": content}))


def _fetched(uri: str) -> tuple[NTM, str]:
    """The model at a URI, and the URI of its folder."""
    from ntm_ray.model import NTM
    from ntm_ray.tuning.storage import Place

    place = Place.at(uri)
    names = place.names()
    if "job.yaml" in names:
        place = place / "best"
        names = place.names()
    if "metrics.json" not in names and not (place.exists() and not names):
        raise ModelFolderError(f"{place}: is no model folder: metrics.json missing")
    with place.brought_here() as folder:
        return NTM.load(folder), place.uri
