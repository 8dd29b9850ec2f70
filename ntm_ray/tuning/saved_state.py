"""The state of a training as two plain files, so that a paused trial can go on in any process.

``tensors.safetensors`` and ``values.json``, in a folder that appears only as a whole.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import safetensors.torch

from ntm_ray.corpus.atomic import replacing_folder

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.model import TrainingState

_TENSORS = "tensors.safetensors"
_VALUES = "values.json"


def save_state(state: TrainingState, folder: Path) -> None:
    """Write a state; one that is there already is the same, and stays.

    Raises:
        OSError: It cannot be written.
    """
    if folder.exists():
        return
    with replacing_folder(folder) as new:
        # As bytes, and not by safetensors itself, whose error of a full disk is none of Python's.
        (new / _TENSORS).write_bytes(safetensors.torch.save(state["tensors"]))
        (new / _VALUES).write_text(json.dumps(state["values"]), encoding="utf-8")


def load_state(folder: Path) -> TrainingState:
    """Read a state.

    Raises:
        OSError: It is not there.
    """
    values = json.loads((folder / _VALUES).read_text(encoding="utf-8"))
    tensors = safetensors.torch.load((folder / _TENSORS).read_bytes())
    return cast("TrainingState", {"tensors": tensors, "values": values})
