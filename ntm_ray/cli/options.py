"""Options that several commands have."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from ntm_ray.errors import HyperparameterError

Source = Annotated[
    str | None,
    typer.Argument(
        help="A file or folder of documents, or the name of a corpus that is always there "
        "(ntm-ray list corpora). Default: docstrings.",
        show_default=False,
    ),
]
NumTopics = Annotated[
    int | None, typer.Option(help="Number of topics. Default: 20.", show_default=False)
]
TopicRange = Annotated[
    str | None,
    typer.Option(
        metavar="N|LOW:HIGH",
        help="Number of topics, or as in 5:60 a range to find it in: by the space how_many "
        "unless --space says another. Default: 20.",
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Fix a hyperparameter; may be given several times.",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None, typer.Option(min=0, max=2**32 - 1, help="Default: 0.", show_default=False)
]
Device = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda or mps. Default: auto.", show_default=False)
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="float32, or on a CUDA GPU tf32 or bf16: faster, less exact. Default: float32.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
MaxWords = Annotated[
    int | None,
    typer.Option(
        help="Raw text: most words of the vocabulary, the most frequent ones. Default: 5000.",
        show_default=False,
    ),
]
MaxDocumentFraction = Annotated[
    float | None,
    typer.Option(
        help="Raw text: a word in more than this part of the documents is left out. Default: 0.5.",
        show_default=False,
    ),
]
ValidationFraction = Annotated[
    float | None,
    typer.Option(
        help="Part of the documents that is split off where a corpus brings no validation "
        "partition. Default: 0.1.",
        show_default=False,
    ),
]


def given(**values: Any) -> dict[str, Any]:
    """Those of the values that are not None: what the user has said."""
    return {name: value for name, value in values.items() if value is not None}


def parse_settings(settings: list[str] | None) -> dict[str, str]:
    """Read `--set name=value` options.

    Raises:
        HyperparameterError: If one has no `=`.
    """
    fixed = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise HyperparameterError(
                f"--set {setting}: NAME=VALUE is wanted, as in --set weight_decay=0"
            )
        fixed[name.strip()] = value.strip()
    return fixed


def parse_topic_range(topics: object) -> tuple[int, int] | None:
    """Read the two ends of `--num-topics 5:60`; None: it is no range.

    Raises:
        HyperparameterError: If an end is no whole number.
    """
    low, colon, high = str(topics).partition(":")
    if not colon:
        return None
    if not (low.strip().isdecimal() and high.strip().isdecimal()):
        raise HyperparameterError(
            f"--num-topics {topics}: a whole number is wanted, or a range as in 5:60"
        )
    return int(low), int(high)


def console_for(*, json: bool) -> Console:
    """Where people are talked to: standard error when standard output is for JSON alone."""
    # Without markup and emoji: a path or a word may look like either.
    return Console(
        file=sys.stderr if json else sys.stdout, highlight=False, markup=False, emoji=False
    )
