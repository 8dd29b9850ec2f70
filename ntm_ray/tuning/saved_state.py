"""The state of a training as two plain files, so that a paused trial can go on in any process.

``tensors.safetensors`` and ``values.json``, in a place that has both of them or neither.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import safetensors.torch

if TYPE_CHECKING:
    from ntm_ray.model import TrainingState
    from ntm_ray.tuning.storage import Place

_TENSORS = "tensors.safetensors"
_VALUES = "values.json"


def save_state(state: TrainingState, place: Place) -> None:
    """Write a state; one that is there already is the same.

    Raises:
        OSError: It cannot be written.
        StorageError: The same, in an object store.
    """
    if place.is_local and place.exists():
        return
    with place.new_folder() as new:
        # As bytes, and not by safetensors itself, whose error of a full disk is none of Python's.
        (new / _TENSORS).write_bytes(safetensors.torch.save(state["tensors"]))
        (new / _VALUES).write_text(json.dumps(state["values"]), encoding="utf-8")


def load_state(place: Place) -> TrainingState:
    """Read a state.

    Raises:
        OSError: It is not there.
        StorageError: It cannot be read from an object store.
    """
    if not place.is_local:
        with tempfile.TemporaryDirectory() as beside:
            here = Path(beside, "state")
            place.get_folder(here)
            return _load(here)
    return _load(place.path)


def _load(folder: Path) -> TrainingState:
    values = json.loads((folder / _VALUES).read_text(encoding="utf-8"))
    tensors = safetensors.torch.load((folder / _TENSORS).read_bytes())
    return cast("TrainingState", {"tensors": tensors, "values": values})
