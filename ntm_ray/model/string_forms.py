"""The forms in which a hyperparameter's value may be written, SageMaker's strings among them."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field


def number(value: object) -> object:
    """Read SageMaker's string form of a float; infinity is a number here, NaN is not."""
    if isinstance(value, bool):
        raise ValueError("a boolean is no number")
    if isinstance(value, str):
        value = float(value)
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("NaN is no number")
    return value


def integer(value: object) -> object:
    """Read an integer, also from a string or from a float without a fraction."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            value = float(value)
    value = number(value)
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError("not integral")
        return int(value)
    return value


def boolean(value: object) -> bool:
    """Read true or false, also from a string."""
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    if isinstance(value, bool):
        return value
    raise ValueError("neither true nor false")


def allowed(text: str) -> Any:
    """Return a field that says which values it takes, in words."""
    return Field(json_schema_extra={"allowed": text})
