"""From a name in a job to the thing it stands for: entry points of the installed packages.

Ours and a stranger's are declared in the same way, in a pyproject.toml::

    [project.entry-points."ntm_ray.search_algorithms"]
    mine = "my_search:MySearch"
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from typing import Any

from ntm_ray.errors import JobError, NtmRayError
from ntm_ray.tuning.summaries import summary_of

OURS = "ntm-ray"


@dataclass(frozen=True)
class Chosen:
    """A name with options, as a job file has it: `{name: bayesian, startup_trials: 5}`."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join([self.name, *(f"{name} {value}" for name, value in self.options.items())])

    def to_yaml_dict(self) -> dict[str, Any]:
        """Return what a job file says for it."""
        return {"name": self.name, **self.options}

    @classmethod
    def parse(cls, content: Mapping[Any, Any]) -> Chosen:
        """Read what a job file says.

        Raises:
            ValueError: If it has no name.
        """
        options = {str(name): value for name, value in content.items()}
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise ValueError(
                "a name is wanted, with options beside it: {name: bayesian, startup_trials: 5}"
            )
        return cls(name, options)


@dataclass(frozen=True)
class Named:
    """Something that a job asks for by name.

    Attributes:
        kind: What it is, in words: `search algorithm`.
        name: What a job calls it.
        entry: Where its class is. An extra in brackets is one that it needs:
            `"ntm_ray.tuning.search.optuna:Optuna [optuna]"`.
    """

    kind: str
    name: str
    entry: EntryPoint

    @property
    def package(self) -> str:
        """The package that brings it, with its version."""
        found = self.entry.dist
        return f"{found.name} {found.version}" if found else "an unknown package"

    @property
    def is_ours(self) -> bool:
        """Whether ntm-ray itself brings it."""
        return _owner(self.entry) == OURS

    @property
    def summary(self) -> str:
        """One line on what it is, or on why it cannot be used; imports nothing."""
        said = self.trouble
        if said is None:
            said = summary_of(self.entry.module, self.entry.attr)
        if said is None and self.entry.dist is not None:
            said = self.entry.dist.metadata["Summary"]
        return " ".join((said or "").split())

    @property
    def trouble(self) -> str | None:
        """Why it cannot be used, in one line, as far as can be told without importing it."""
        if missing := self._missing_extras():
            return f"needs pip install '{_owner(self.entry)}[{','.join(missing)}]'"
        try:
            summary_of(self.entry.module, self.entry.attr)
        except (ImportError, SyntaxError, OSError) as error:
            return f"cannot be used: {_in_a_line(error)}"
        return None

    def load(self) -> Any:
        """Import the thing itself.

        Raises:
            JobError: If that fails, whatever the reason; it may be anybody's code.
        """
        if trouble := self.trouble:
            raise JobError(f"{self.kind} {self.name!r} {trouble} (from {self.package})")
        try:
            return self.entry.load()
        except Exception as error:
            raise JobError(
                f"{self.kind} {self.name!r} cannot be used: {_in_a_line(error)} "
                f"(from {self.package})"
            ) from error

    def make(self, *arguments: Any, **options: Any) -> Any:
        """Import it and make one.

        Raises:
            JobError: If it cannot be imported, has no such option, or refuses a value.
        """
        factory = self.load()
        where = f"{self.kind} {self.name!r}"
        try:
            signature = inspect.signature(factory)
        except (TypeError, ValueError):
            raise JobError(
                f"{where} cannot be used: it is no class that says what it takes "
                f"(from {self.package})"
            ) from None
        try:
            signature.bind(*arguments, **options)
        except TypeError:
            offered = list(signature.parameters)[len(arguments) :]
            wrong = [option for option in options if option not in offered]
            if not wrong:
                raise JobError(
                    f"{where} cannot be used: its class does not take the {len(arguments)} "
                    f"arguments of a {self.kind} (from {self.package})"
                ) from None
            near = difflib.get_close_matches(wrong[0], offered, n=1)
            raise JobError(
                f"{where} has no option {wrong[0]!r}; "
                + (f"did you mean {near[0]!r}? " if near else "")
                + (f"it has {', '.join(offered)}" if offered else "it has none")
            ) from None
        try:
            return factory(*arguments, **options)
        except NtmRayError:
            raise
        except (TypeError, ValueError) as error:
            raise JobError(f"{where}: {_in_a_line(error)}") from error

    def _missing_extras(self) -> list[str]:
        required = (self.entry.dist.requires if self.entry.dist else None) or []
        return [
            extra
            for extra in self.entry.extras
            if not all(
                _is_installed(requirement)
                for requirement in required
                if re.search(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]", requirement)
            )
        ]


class Registry(Mapping[str, Named]):
    """What is installed of one kind, by name; ours first.

    A name that two packages use is the first one's, by the alphabet, and ours if we have it; the
    other one's is `name@package`.
    """

    def __init__(self, kind: str, group: str) -> None:
        """Look at nothing yet.

        Args:
            kind: What it holds, in words: `search algorithm`.
            group: The entry points' group.
        """
        self.kind = kind
        self._group = group
        self._known: dict[str, Named] | None = None

    def __getitem__(self, name: str) -> Named:
        if self._known is None or name not in self._known:
            # A package may have been installed since.
            self._known = self._look()
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        self._known = self._look()
        return iter(self._known)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def named(self, name: str) -> Named:
        """Return what has this name.

        Raises:
            JobError: If there is none of this name; says which there are.
        """
        if name not in self:
            near = difflib.get_close_matches(name, self, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            there = f"there are {', '.join(self)}" if len(self) else _NONE_AT_ALL
            raise JobError(f"no {self.kind} is called {name!r}; {hint}{there}")
        return self[name]

    def _look(self) -> dict[str, Named]:
        found: dict[str, Named] = {}
        for entry in sorted(entry_points(group=self._group), key=_ours_first):
            name = entry.name if entry.name not in found else f"{entry.name}@{_owner(entry)}"
            found[name] = Named(self.kind, name, entry)
        return found


# What is declared in pyproject.toml is known only once the package has been installed with it.
_NONE_AT_ALL = "not even ntm-ray's own are known: install it again, pip install -e . in a checkout"


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else ""


def _ours_first(entry: EntryPoint) -> tuple[bool, str, str]:
    return _owner(entry) != OURS, _owner(entry), entry.name


def _is_installed(requirement: str) -> bool:
    name = re.match(r"[\w.-]+", requirement)
    try:
        return name is not None and bool(distribution(name[0]))
    except PackageNotFoundError:
        return False


def _in_a_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
