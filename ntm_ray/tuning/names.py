"""From a name in a job to the thing it stands for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ntm_ray.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Named:
    """Something that a job asks for by name.

    By module and attribute, so that listing the names imports none of the libraries behind them.
    """

    summary: str
    module: str
    attribute: str

    def load(self) -> Any:
        """Import the thing itself."""
        return getattr(import_module(self.module), self.attribute)


def check_name(kind: str, name: str, table: Mapping[str, Named]) -> None:
    """Hold a name against the table of those there are.

    Raises:
        JobError: If there is none of this name; says which there are.
    """
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise JobError(f"no {kind} is called {name!r}; {hint}there are {', '.join(table)}")
