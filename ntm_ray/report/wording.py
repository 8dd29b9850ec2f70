"""How numbers are put into words: durations, hyperparameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def duration(seconds: float) -> str:
    """A length of time as people say it: `8 s`, `1 min 33 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float) -> str:
    """A length of time as a clock shows it: `0:08`, `1:33`, `2:05:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def value(hyperparameter: Any) -> str:
    """A hyperparameter's value, numbers to four digits: `0.01234`, `true`, `60,40`."""
    if isinstance(hyperparameter, bool):
        return str(hyperparameter).lower()
    if isinstance(hyperparameter, float):
        return f"{hyperparameter:.4g}"
    return str(hyperparameter)


def configuration(values: Mapping[str, Any]) -> str:
    """Hyperparameters in one line, as `--set` takes them."""
    return " ".join(f"{name}={value(given)}" for name, given in values.items())


def count(number: int, thing: str) -> str:
    """A number of things: `1 trial`, `1,080 epochs`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
