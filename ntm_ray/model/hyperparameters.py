"""The 15 hyperparameters of SageMaker NTM: names, defaults, ranges and string forms.

Those of our own, which SageMaker NTM has not, are in :mod:`ntm_ray.model.extensions`.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)
from pydantic_core import PydanticUndefined

from ntm_ray.errors import HyperparameterError
from ntm_ray.model.extensions import Extensions
from ntm_ray.model.string_forms import allowed, boolean, integer, number

if TYPE_CHECKING:
    from collections.abc import Mapping

Activation = Literal["sigmoid", "tanh", "relu"]
OptimizerName = Literal["sgd", "adam", "adagrad", "adadelta", "rmsprop"]
Layers = tuple[int, ...] | Literal["auto"]


def _layers(value: object) -> object:
    """Read "auto", "60,40", "[60, 40]" (what the SageMaker SDK sends) or a list of integers."""
    if isinstance(value, str):
        text = value.strip()
        if text == "auto":
            return text
        value = text.removeprefix("[").removesuffix("]").split(",")
    sizes = value if isinstance(value, list | tuple) else [value]
    layers = tuple(integer(size) for size in sizes)
    if not layers or not all(isinstance(size, int) and size >= 1 for size in layers):
        raise ValueError("not a list of positive integers")
    return layers


class Hyperparameters(BaseModel):
    """One NTM's settings, under the names SageMaker NTM gives them.

    Every field also takes the string that a SageMaker request would carry. Use :meth:`parse`
    for what a user wrote: its errors are one line. Ranges and defaults are those of the
    SageMaker developer guide, "NTM Hyperparameters".

    What SageMaker NTM has not is in :attr:`extensions`, off by default; :meth:`parse` and
    :meth:`to_json_dict` name both alike.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    _extensions: Extensions = PrivateAttr(default_factory=Extensions)

    feature_dim: Annotated[
        int, BeforeValidator(integer), allowed("an integer from 1 to 1000000")
    ] = Field(ge=1, le=1_000_000, description="Number of words in the vocabulary.")
    num_topics: Annotated[int, BeforeValidator(integer), allowed("an integer from 2 to 1000")] = (
        Field(ge=2, le=1000, description="Number of topics.")
    )
    batch_norm: Annotated[bool, BeforeValidator(boolean), allowed("true or false")] = Field(
        default=False, description="Normalise the hidden layers of the encoder over the batch."
    )
    clip_gradient: Annotated[
        float, BeforeValidator(number), allowed("a number of at least 0.001, or Infinity")
    ] = Field(
        default=math.inf,
        ge=1e-3,
        description="Largest absolute value of each element of the rescaled gradient.",
    )
    encoder_layers: Annotated[
        Layers,
        BeforeValidator(_layers),
        allowed('positive integers as in "60,40", or "auto" (3 * num_topics, 2 * num_topics)'),
    ] = Field(default="auto", description="Sizes of the encoder's hidden layers.")
    encoder_layers_activation: Annotated[Activation, allowed("sigmoid, tanh or relu")] = Field(
        default="sigmoid", description="Activation of the encoder's hidden layers."
    )
    epochs: Annotated[int, BeforeValidator(integer), allowed("an integer of at least 1")] = Field(
        default=50, ge=1, description="Largest number of passes over the training documents."
    )
    learning_rate: Annotated[
        float, BeforeValidator(number), allowed("a number from 0.000001 to 1")
    ] = Field(
        default=0.001,
        ge=1e-6,
        le=1.0,
        description="Step size of the optimizer; adadelta has none and leaves it unused.",
    )
    mini_batch_size: Annotated[
        int, BeforeValidator(integer), allowed("an integer from 1 to 10000")
    ] = Field(default=256, ge=1, le=10_000, description="Documents in one step of training.")
    num_patience_epochs: Annotated[
        int, BeforeValidator(integer), allowed("an integer of at least 1")
    ] = Field(
        default=3,
        ge=1,
        description="Epochs looked back on by early stopping; more than `epochs` turns it off.",
    )
    optimizer: Annotated[OptimizerName, allowed("sgd, adam, adagrad, adadelta or rmsprop")] = (
        Field(default="adadelta", description="Rule that turns gradients into steps.")
    )
    rescale_gradient: Annotated[
        float, BeforeValidator(number), allowed("a number from 0.001 to 1")
    ] = Field(
        default=1.0,
        ge=1e-3,
        le=1.0,
        description="Factor on the gradient, which is summed over the mini-batch.",
    )
    sub_sample: Annotated[float, BeforeValidator(number), allowed("a number from 0 to 1")] = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="Part of the training documents in an epoch, drawn anew for each.",
    )
    tolerance: Annotated[
        float, BeforeValidator(number), allowed("a number from 0.000001 to 0.1")
    ] = Field(
        default=0.001,
        ge=1e-6,
        le=0.1,
        description="Least fall of the loss, in nats a word, that early stopping counts.",
    )
    weight_decay: Annotated[float, BeforeValidator(number), allowed("a number from 0 to 1")] = (
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
        own = {name: settings[name] for name in settings if name in Extensions.model_fields}
        problems: dict[str, tuple[str, object]] = {}
        parts: list[Any] = []
        for kind, given in (
            (cls, {name: settings[name] for name in settings if name not in own}),
            (Extensions, own),
        ):
            try:
                parts.append(kind.model_validate(given))
            except ValidationError as error:
                found = error.errors()
                problems |= {str(e["loc"][0]): (e["type"], e["input"]) for e in found}
        if problems:
            raise HyperparameterError(
                "; ".join(_explain(name, *found) for name, found in problems.items())
            )
        hyperparameters: Hyperparameters = parts[0]
        hyperparameters._extensions = parts[1]
        return hyperparameters

    @property
    def extensions(self) -> Extensions:
        """What is set beyond SageMaker NTM."""
        return self._extensions

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Sizes of the encoder's hidden layers, ``auto`` worked out."""
        if self.encoder_layers == "auto":
            return (3 * self.num_topics, 2 * self.num_topics)
        return self.encoder_layers

    def to_json_dict(self) -> dict[str, Any]:
        """Return all settings as plain JSON values that :meth:`parse` reads back.

        Of the extensions there are those that are not off.
        """
        settings = self.model_dump()
        if math.isinf(self.clip_gradient):
            settings["clip_gradient"] = "Infinity"
        if self.encoder_layers != "auto":
            settings["encoder_layers"] = ",".join(map(str, self.encoder_layers))
        return settings | self._extensions.changed()


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


def specification_of(kind: type[BaseModel]) -> tuple[FieldSpecification, ...]:
    """Return what is said of each field."""
    fields = []
    for name, field in kind.model_fields.items():
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


SPECIFICATION: tuple[FieldSpecification, ...] = specification_of(Hyperparameters)
"""All 15 hyperparameters in SageMaker's order, for tables and for messages."""

EXTENSIONS: tuple[FieldSpecification, ...] = specification_of(Extensions)
"""Those of our own, likewise."""

_ALLOWED = {field.name: field.allowed for field in (*SPECIFICATION, *EXTENSIONS)}


def _explain(name: str, kind: str, value: object) -> str:
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, _ALLOWED, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_ALLOWED)}"
        return f"{name}: no such hyperparameter; {hint}"
    if kind == "missing":
        return f"{name}: a value is required; allowed is {_ALLOWED[name]}"
    return f"{name}: {value!r} is not allowed; allowed is {_ALLOWED[name]}"
