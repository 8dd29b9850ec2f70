"""Search spaces: named parameters with scaling and conditions, one YAML file a space."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from ntm_ray.errors import HyperparameterError, JobError, SearchSpaceError
from ntm_ray.model.hyperparameters import Hyperparameters
from ntm_ray.model.objectives import TOTAL_LOSS, objective_named
from ntm_ray.tuning.yaml_file import read_yaml

if TYPE_CHECKING:
    import numpy as np

Value = str | int | float | bool
Configuration = dict[str, Value]

# In a wheel the spaces lie inside the package, in a checkout beside it.
_PACKAGE = Path(__file__).resolve().parent.parent
SPACES_FOLDERS = (_PACKAGE / "search_spaces", _PACKAGE.parent / "search_spaces")


class _Parameter(BaseModel):
    """What the three kinds of parameter share.

    Attributes:
        name: The hyperparameter that this parameter sets.
        when: Where the parameter exists: the name of one categorical parameter, and the values of
            that parameter under which this one is drawn. Empty: always.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    when: dict[str, tuple[Value, ...]] = Field(default_factory=dict, max_length=1)

    def is_active(self, configuration: Mapping[str, Value]) -> bool:
        """Whether the parameter exists in a configuration that holds what its `when` names."""
        return all(configuration.get(name) in values for name, values in self.when.items())

    def excludes(self, other: _Parameter) -> bool:
        """Whether this parameter and the other can never exist in one configuration."""
        return any(
            name in other.when and not set(values) & set(other.when[name])
            for name, values in self.when.items()
        )


class Categorical(_Parameter):
    """One of a list of values, each as likely as the next."""

    type: Literal["categorical"]
    values: tuple[Value, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _values_differ(self) -> Self:
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"values {list(self.values)} must differ from each other")
        return self

    def from_unit(self, unit: float) -> Value:
        """Map `unit` in [0, 1) to a value."""
        return self.values[int(unit * len(self.values))]

    def contains(self, value: Value) -> bool:
        """Whether the parameter can take this value."""
        return value in self.values

    def edges(self) -> tuple[Value, ...]:
        """Values that must be allowed for the whole parameter to be allowed."""
        return self.values


class _Numeric(_Parameter):
    """A range of numbers, both ends included."""

    min: FiniteFloat
    max: FiniteFloat
    scaling: Literal["linear", "logarithmic"] = "linear"

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if not self.min < self.max:
            raise ValueError(f"min {self.min:g} must be below max {self.max:g}")
        if self.scaling == "logarithmic" and self.min <= 0:
            raise ValueError(f"min {self.min:g} must be above 0 for logarithmic scaling")
        return self

    def _interpolate(self, unit: float, low: float, high: float) -> float:
        if self.scaling == "linear":
            return low + unit * (high - low)
        return math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))


class Integer(_Numeric):
    """A whole number in [min, max]."""

    type: Literal["integer"]
    min: int
    max: int

    def from_unit(self, unit: float) -> Value:
        """Map `unit` in [0, 1) to a whole number; each gets its own share of the scale."""
        # Going through a logarithm and back may miss an end by a rounding.
        number = int(self._interpolate(unit, self.min, self.max + 1))
        return min(self.max, max(self.min, number))

    def contains(self, value: Value) -> bool:
        """Whether the parameter can take this value."""
        return isinstance(value, int) and self.min <= value <= self.max

    def edges(self) -> tuple[Value, ...]:
        """Values that must be allowed for the whole parameter to be allowed."""
        return (self.min, self.max)


class Continuous(_Numeric):
    """A real number in [min, max], or, half of the time, the value that switches it off.

    Attributes:
        disabled: A value outside the range that means "not used", for example 0 for a logarithmic
            `weight_decay`. Drawn with probability one half; None: the range only.
    """

    type: Literal["continuous"]
    disabled: FiniteFloat | None = None

    @model_validator(mode="after")
    def _disabled_is_apart(self) -> Self:
        if self.disabled is not None and self.min <= self.disabled <= self.max:
            raise ValueError(
                f"disabled {self.disabled:g} must lie outside of min {self.min:g} and "
                f"max {self.max:g}"
            )
        return self

    def from_unit(self, unit: float) -> Value:
        """Map `unit` in [0, 1) to a number; with `disabled`, the lower half of the units is it."""
        if self.disabled is None:
            return self._interpolate(unit, self.min, self.max)
        if unit < 0.5:
            return self.disabled
        return self._interpolate(2 * unit - 1, self.min, self.max)

    def contains(self, value: Value) -> bool:
        """Whether the parameter can take this value."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        # Going through a logarithm and back may miss an end by a rounding.
        slack = 1e-9 * max(abs(self.min), abs(self.max))
        return value == self.disabled or self.min - slack <= value <= self.max + slack

    def edges(self) -> tuple[Value, ...]:
        """Values that must be allowed for the whole parameter to be allowed."""
        ends = (self.min, self.max)
        return ends if self.disabled is None else (self.disabled, *ends)


Parameter = Annotated[Categorical | Integer | Continuous, Field(discriminator="type")]


class SearchSpace(BaseModel):
    """Named parameters over the NTM's hyperparameters.

    Attributes:
        name: What `--space` calls it.
        description: One line for `ntm-ray list spaces`.
        parameters: In order; a parameter's `when` names one that stands before it. A name may
            stand several times under conditions that exclude each other: the learning rate has
            another range for each optimizer.
        first: Configurations of the space that are known to do well, tried before a search
            algorithm proposes any; see `TuningJob.first_configurations`.
        scheduler: The scheduler of a job that names none: a name, or one with options as in
            `{"name": "asha", "grace_epochs": 4}`.
        objective: The objective of a job that names none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    parameters: tuple[Parameter, ...]
    first: tuple[Configuration, ...] = ()
    scheduler: str | dict[str, Any] = "asha"
    objective: str = TOTAL_LOSS.name

    @field_validator("objective", mode="after")
    @classmethod
    def _objective_is_known(cls, objective: str) -> str:
        try:
            return objective_named(objective).name
        except JobError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _first_lie_in_the_space(self) -> Self:
        for configuration in self.first:
            if not self.contains(configuration):
                raise ValueError(
                    f"first: {configuration} is no configuration of this space; each must hold "
                    "exactly the parameters that are active, within their ranges"
                )
        return self

    @model_validator(mode="after")
    def _fits_the_ntm(self) -> Self:
        seen: dict[str, list[Parameter]] = {}
        for parameter in self.parameters:
            where = f"parameter {parameter.name!r}"
            if any(not parameter.excludes(other) for other in seen.get(parameter.name, ())):
                raise ValueError(
                    f"{where} is there twice; give each its own values in `when`, of one parameter"
                )
            # Inside too: the ends of a continuous range may happen to be whole numbers.
            for value in (*parameter.edges(), parameter.from_unit(0.618)):
                try:
                    required = {"num_topics": 2, "feature_dim": 2}
                    Hyperparameters.parse(required | {parameter.name: value})
                except HyperparameterError as error:
                    raise ValueError(f"{where}: {error}") from None
            for name, values in parameter.when.items():
                controller = seen.get(name, [None])[0]
                if not isinstance(controller, Categorical) or controller.when:
                    raise ValueError(
                        f"{where}: `when` must name an unconditional categorical parameter that "
                        f"stands before it, got {name!r}"
                    )
                if strangers := [value for value in values if value not in controller.values]:
                    raise ValueError(
                        f"{where}: `when` {name} has {strangers}, "
                        f"which are not among {list(controller.values)}"
                    )
            seen.setdefault(parameter.name, []).append(parameter)
        return self

    @classmethod
    def parse(cls, content: object, where: str) -> SearchSpace:
        """Make a search space of what a YAML or job file says.

        Raises:
            SearchSpaceError: With `where` and the first thing that is wrong.
        """
        if not isinstance(content, Mapping):
            raise SearchSpaceError(f"{where}: a search space is a mapping with `parameters`")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise SearchSpaceError(f"{where}: {field + ': ' if field else ''}{message}") from None

    @classmethod
    def read(cls, source: str | Path) -> SearchSpace:
        """Read a space by the name of a shipped one, or from a YAML file.

        Raises:
            SearchSpaceError: If there is no such space, or the file does not hold one.
        """
        path = Path(source)
        if path.suffix not in {".yaml", ".yml"}:
            shipped = shipped_spaces()
            if str(source) not in shipped:
                near = difflib.get_close_matches(str(source), shipped, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise SearchSpaceError(
                    f"no search space is called {str(source)!r}; {hint}"
                    f"there are {', '.join(shipped)}, or the path of a .yaml file"
                )
            path = shipped[str(source)]
        content = read_yaml(path, SearchSpaceError)
        return cls.parse(content, str(path))

    def fixing(self, fixed: Mapping[str, Any]) -> SearchSpace:
        """Return the space that is left when some hyperparameters are fixed.

        A parameter whose condition a fixed value rules out is gone; one whose condition a fixed
        value fulfils is unconditional. Of the first configurations those are left that have the
        fixed values where conditions depend on them, each once.
        """
        left: list[Parameter] = []
        for parameter in self.parameters:
            decided = {name: fixed[name] for name in parameter.when if name in fixed}
            if parameter.name in fixed or (decided and not parameter.is_active(decided)):
                continue
            left.append(parameter.model_copy(update={"when": {}}) if decided else parameter)
        space = self.model_copy(update={"parameters": tuple(left), "first": ()})
        controllers = {name for parameter in self.parameters for name in parameter.when}
        first: list[Configuration] = []
        for configuration in self.first:
            rest = {name: configuration[name] for name in configuration if name not in fixed}
            agrees = all(
                configuration.get(name, fixed[name]) == fixed[name]
                for name in controllers & fixed.keys()
            )
            if agrees and rest and rest not in first and space.contains(rest):
                first.append(rest)
        return space.model_copy(update={"first": tuple(first)})

    def with_topics(self, least: int, most: int) -> SearchSpace:
        """Return this space with `num_topics` searched between two numbers, both included.

        Its first configurations are left out, as far as they say another number or none.

        Raises:
            SearchSpaceError: The numbers are not in order, or no numbers of topics.
        """
        if not 2 <= least < most:
            raise SearchSpaceError(
                f"num_topics: {least}:{most} is no range of numbers of topics; two numbers from 2 "
                "on, the smaller one first, are wanted, as in 5:60"
            )
        topics = {"name": "num_topics", "type": "integer", "min": least, "max": most}
        others = [p.model_dump() for p in self.parameters if p.name != "num_topics"]
        content = self.model_dump(exclude={"parameters", "first"})
        content["parameters"] = [topics | {"scaling": "logarithmic"}, *others]
        return SearchSpace.parse(content, "num_topics")

    def sample(self, generator: np.random.Generator) -> Configuration:
        """Draw a configuration: each active parameter independently, evenly on its scale."""
        configuration: Configuration = {}
        for parameter in self.parameters:
            # One number a parameter, drawn or not, so that a condition shifts no later draw.
            unit = float(generator.random())
            if parameter.is_active(configuration):
                configuration[parameter.name] = parameter.from_unit(unit)
        return configuration

    def contains(self, configuration: Mapping[str, Value]) -> bool:
        """Whether a configuration holds exactly the active parameters, each within its range."""
        active = [p for p in self.parameters if p.is_active(configuration)]
        return configuration.keys() == {p.name for p in active} and all(
            p.contains(configuration[p.name]) for p in active
        )


def shipped_spaces() -> dict[str, Path]:
    """The search spaces that come with the package: name to file, `sagemaker` first."""
    for folder in SPACES_FOLDERS:
        if files := sorted(folder.glob("*.yaml"), key=lambda f: (f.stem != "sagemaker", f.stem)):
            return {file.stem: file for file in files}
    raise SearchSpaceError(f"the search spaces are missing: looked in {SPACES_FOLDERS[0]}")
