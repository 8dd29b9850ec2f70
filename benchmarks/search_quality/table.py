"""A recorded table: configurations and their full curves on one corpus."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ntm_ray.tuning import SearchSpace
    from ntm_ray.tuning.space import Configuration

TABLES = Path(__file__).parent / "tables"
# A loss this far above the corpus's best is as bad as any; nats a word.
WORST_ABOVE_BEST = 1.5


@dataclass(frozen=True)
class Table:
    """What was recorded on a corpus.

    Attributes:
        corpus: Its name.
        configurations: All of the space `focused`.
        losses: `validation:total_loss`, nats a word (configurations, epochs); infinite from where
            a training diverged.
        seconds: How long an epoch of each took (configurations,).
    """

    corpus: str
    configurations: list[Configuration]
    losses: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]

    @property
    def epochs(self) -> int:
        """How many epochs the configurations were trained."""
        return int(self.losses.shape[1])

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read a table that `record` wrote, compressed or not."""
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else None
        lines = (path.read_text() if text is None else text).splitlines()
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
        epochs = max(len(entry["curve"]) for entry in entries)
        losses = np.full((len(entries), epochs), np.inf)
        for row, entry in enumerate(entries):
            for epoch, loss in enumerate(entry["curve"]):
                losses[row, epoch] = np.inf if loss is None else loss
        return cls(
            path.name.split(".")[0],
            [entry["configuration"] for entry in entries],
            losses,
            np.array([entry["seconds"] / len(entry["curve"]) for entry in entries]),
        )


def tables(folder: Path = TABLES) -> dict[str, Table]:
    """All tables of a folder, by corpus."""
    found = (Table.read(path) for path in sorted(folder.glob("*.jsonl*")))
    return {table.corpus: table for table in found}


class Encoding:
    """Configurations as points of a unit cube: one coordinate a number, one each choice."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._columns: dict[tuple[str, Any], int] = {}
        for parameter in space.parameters:
            if parameter.type == "categorical":
                for value in parameter.values:
                    self._columns[parameter.name, value] = len(self._columns)
            else:
                self._columns.setdefault((parameter.name, None), len(self._columns))
                if getattr(parameter, "disabled", None) is not None:
                    self._columns.setdefault((parameter.name, "on"), len(self._columns))

    def __call__(self, configuration: Configuration) -> npt.NDArray[np.float64]:
        """Encode one configuration; what is not active or is disabled lies at 0."""
        point = np.zeros(len(self._columns))
        for parameter in self._space.parameters:
            if not parameter.is_active(configuration):
                continue
            value = configuration[parameter.name]
            if parameter.type == "categorical":
                point[self._columns[parameter.name, value]] = 1
                continue
            if value == getattr(parameter, "disabled", None):
                continue
            if (parameter.name, "on") in self._columns:
                point[self._columns[parameter.name, "on"]] = 1
            low, high, number = parameter.min, parameter.max, float(value)
            if parameter.scaling == "logarithmic":
                low, high, number = np.log([low, high, number])
            point[self._columns[parameter.name, None]] = (number - low) / (high - low)
        return point
