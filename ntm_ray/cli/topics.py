"""`ntm-ray topics`: the topics of a model."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from ntm_ray.cli.options import Json, console_for


def topics_command(
    model: Annotated[Path, typer.Argument(help="A model folder, or a job folder for its best.")],
    words: Annotated[int, typer.Option(min=1, help="Words a topic.")] = 10,
    json: Json = False,
) -> None:
    """Show a model's topics as their most probable words."""
    from ntm_ray.model import NTM
    from ntm_ray.report import print_topics

    folder = model / "best" if (model / "job.yaml").is_file() else model
    ntm = NTM.load(folder)
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
    typer.echo(json_format.dumps({"model": str(folder), "topics": content}))
