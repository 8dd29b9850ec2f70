"""The 15 hyperparameters of SageMaker NTM: names, defaults, ranges and string forms."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

from ntm_ray.errors import HyperparameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

Activation = Literal["sigmoid", "tanh", "relu"]
OptimizerName = Literal["sgd", "adam", "adagrad", "adadelta", "rmsprop"]
Layers = tuple[int, ...] | Literal["auto"]


def _number(value: object) -> object:
    """Read SageMaker's string form of a float; infinity is a number here, NaN is not."""
    if isinstance(value, bool):
        raise ValueError("a boolean is no number")
    if isinstance(value, str):
        value = float(value)
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("NaN is no number")
    return value


def _integer(value: object) -> object:
    """Read an integer, also from a string or from a float without a fraction."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            value = float(value)
    value = _number(value)
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError("not integral")
        return int(value)
    return value


def _boolean(value: object) -> bool:
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    if isinstance(value, bool):
        return value
    raise ValueError("neither true nor false")


def _layers(value: object) -> object:
    """Read "auto", "60,40", "[60, 40]" (what the SageMaker SDK sends) or a list of integers."""
    if isinstance(value, str):
        text = value.strip()
        if text == "auto":
            return text
        value = text.removeprefix("[").removesuffix("]").split(",")
    sizes = value if isinstance(value, list | tuple) else [value]
    layers = tuple(_integer(size) for size in sizes)
    if not layers or not all(isinstance(size, int) and size >= 1 for size in layers):
        raise ValueError("not a list of positive integers")
    return layers


def _allowed(text: str) -> Any:
    return Field(json_schema_extra={"allowed": text})


class Hyperparameters(BaseModel):
    """One NTM's settings, under the names SageMaker NTM gives them.

    Every field also takes the string that a SageMaker request would carry. Use :meth:`parse`
    for what a user wrote: its errors are one line. Ranges and defaults are those of the
    SageMaker developer guide, "NTM Hyperparameters".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature_dim: Annotated[
        int, BeforeValidator(_integer), _allowed("an integer from 1 to 1000000")
    ] = Field(ge=1, le=1_000_000, description="Number of words in the vocabulary.")
    num_topics: Annotated[
        int, BeforeValidator(_integer), _allowed("an integer from 2 to 1000")
    ] = Field(ge=2, le=1000, description="Number of topics.")
    batch_norm: Annotated[bool, BeforeValidator(_boolean), _allowed("true or false")] = Field(
        default=False, description="Normalise the hidden layers of the encoder over the batch."
    )
    clip_gradient: Annotated[
        float, BeforeValidator(_number), _allowed("a number of at least 0.001, or Infinity")
    ] = Field(
        default=math.inf,
        ge=1e-3,
        description="Largest absolute value of each element of the rescaled gradient.",
    )
    encoder_layers: Annotated[
        Layers,
        BeforeValidator(_layers),
        _allowed('positive integers as in "60,40", or "auto" (3 * num_topics, 2 * num_topics)'),
    ] = Field(default="auto", description="Sizes of the encoder's hidden layers.")
    encoder_layers_activation: Annotated[Activation, _allowed("sigmoid, tanh or relu")] = Field(
        default="sigmoid", description="Activation of the encoder's hidden layers."
    )
    epochs: Annotated[int, BeforeValidator(_integer), _allowed("an integer of at least 1")] = (
        Field(
            default=50, ge=1, description="Largest number of passes over the training documents."
        )
    )
    learning_rate: Annotated[
        float, BeforeValidator(_number), _allowed("a number from 0.000001 to 1")
    ] = Field(
        default=0.001,
        ge=1e-6,
        le=1.0,
        description="Step size of the optimizer; adadelta has none and leaves it unused.",
    )
    mini_batch_size: Annotated[
        int, BeforeValidator(_integer), _allowed("an integer from 1 to 10000")
    ] = Field(default=256, ge=1, le=10_000, description="Documents in one step of training.")
    num_patience_epochs: Annotated[
        int, BeforeValidator(_integer), _allowed("an integer of at least 1")
    ] = Field(
        default=3,
        ge=1,
        description="Epochs looked back on by early stopping; more than `epochs` turns it off.",
    )
    optimizer: Annotated[OptimizerName, _allowed("sgd, adam, adagrad, adadelta or rmsprop")] = (
        Field(default="adadelta", description="Rule that turns gradients into steps.")
    )
    rescale_gradient: Annotated[
        float, BeforeValidator(_number), _allowed("a number from 0.001 to 1")
    ] = Field(
        default=1.0,
        ge=1e-3,
        le=1.0,
        description="Factor on the gradient, which is summed over the mini-batch.",
    )
    sub_sample: Annotated[float, BeforeValidator(_number), _allowed("a number from 0 to 1")] = (
        Field(
            default=1.0,
            ge=0.0,
            le=1.0,
            description="Part of the training documents in an epoch, drawn anew for each.",
        )
    )
    tolerance: Annotated[
        float, BeforeValidator(_number), _allowed("a number from 0.000001 to 0.1")
    ] = Field(
        default=0.001,
        ge=1e-6,
        le=0.1,
        description="Least fall of the loss, in nats a word, that early stopping counts.",
    )
    weight_decay: Annotated[float, BeforeValidator(_number), _allowed("a number from 0 to 1")] = (
        Field(default=0.0, ge=0.0, le=1.0, description="L2 penalty on weights, not on biases.")
    )

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Hyperparameters:
        """Read hyperparameters from plain values or from SageMaker's strings.

        Args:
            settings: Values by name; ``feature_dim`` and ``num_topics`` have no default.

        Raises:
            HyperparameterError: One line that names each wrong field, its value, and what is
                allowed there.
        """
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            problems = {str(e["loc"][0]): (e["type"], e["input"]) for e in error.errors()}
            raise HyperparameterError(
                "; ".join(_explain(name, *found) for name, found in problems.items())
            ) from None

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Sizes of the encoder's hidden layers, ``auto`` worked out."""
        if self.encoder_layers == "auto":
            return (3 * self.num_topics, 2 * self.num_topics)
        return self.encoder_layers

    def to_json_dict(self) -> dict[str, Any]:
        """Return all settings as plain JSON values that :meth:`parse` reads back."""
        settings = self.model_dump()
        if math.isinf(self.clip_gradient):
            settings["clip_gradient"] = "Infinity"
        if self.encoder_layers != "auto":
            settings["encoder_layers"] = ",".join(map(str, self.encoder_layers))
        return settings


@dataclass(frozen=True)
class FieldSpecification:
    """What is said of one hyperparameter wherever the 15 are listed.

    Attributes:
        name: SageMaker's name.
        type: ``int``, ``float``, ``bool``, ``str`` or ``int list``.
        allowed: The values allowed, in words.
        default: The default value; None where a value is required.
        summary: What it does, in one sentence.
    """

    name: str
    type: str
    allowed: str
    default: Any
    summary: str

    @property
    def required(self) -> bool:
        """Whether the hyperparameter has no default."""
        return self.default is None


def _specification() -> tuple[FieldSpecification, ...]:
    fields = []
    for name, field in Hyperparameters.model_fields.items():
        kinds = {int: "int", float: "float", bool: "bool", Layers: "int list"}
        extra = field.json_schema_extra
        fields.append(
            FieldSpecification(
                name=name,
                type=kinds.get(field.annotation, "str"),
                allowed=str(extra["allowed"]) if isinstance(extra, dict) else "",
                default=None if field.default is PydanticUndefined else field.default,
                summary=field.description or "",
            )
        )
    return tuple(fields)


SPECIFICATION: tuple[FieldSpecification, ...] = _specification()
"""All 15 hyperparameters in SageMaker's order, for tables and for messages."""

_ALLOWED = {field.name: field.allowed for field in SPECIFICATION}


def _explain(name: str, kind: str, value: object) -> str:
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, _ALLOWED, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_ALLOWED)}"
        return f"{name}: no such hyperparameter; {hint}"
    if kind == "missing":
        return f"{name}: a value is required; allowed is {_ALLOWED[name]}"
    return f"{name}: {value!r} is not allowed; allowed is {_ALLOWED[name]}"
