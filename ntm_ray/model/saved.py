"""The model folder: four plain files, nothing pickled, replaced only as a whole.

``model.safetensors`` (parameters), ``hyperparameters.json`` (all 15, as SageMaker names them),
``vocabulary.txt`` (UTF-8, one word a line) and ``metrics.json`` (of the best epoch).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch

from ntm_ray.corpus.atomic import replacing_folder
from ntm_ray.errors import HyperparameterError, ModelFolderError
from ntm_ray.model.hyperparameters import Hyperparameters
from ntm_ray.model.inference import SHAPES, Inference
from ntm_ray.model.network import tensor_shapes

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import torch

_TENSORS = "model.safetensors"
_HYPERPARAMETERS = "hyperparameters.json"
_VOCABULARY = "vocabulary.txt"
_METRICS = "metrics.json"
FILES = (_TENSORS, _HYPERPARAMETERS, _VOCABULARY, _METRICS)
"""The files of a model folder: these and no others."""


@dataclass(frozen=True)
class SavedModel:
    """What a model folder holds.

    Attributes:
        hyperparameters: The model's settings.
        tensors: Parameters, running statistics, and where topics are mixed with a Dirichlet prior
            how weights are inferred (:mod:`ntm_ray.model.inference`), by name, on the CPU.
        vocabulary: The word of each column.
        metrics: Metrics of the epoch that the parameters are from.
    """

    hyperparameters: Hyperparameters
    tensors: Mapping[str, torch.Tensor]
    vocabulary: tuple[str, ...]
    metrics: Mapping[str, Any]


def save_model(model: SavedModel, path: str | os.PathLike[str]) -> None:
    """Write `model` to the folder `path`, which appears, or is replaced, only as a whole.

    Raises:
        ModelFolderError: `path` is something else than a model folder or an empty folder, or
            a word of the vocabulary holds a line break.
    """
    check_replaceable(path)
    folder = Path(path).absolute()
    for number, word in enumerate(model.vocabulary, start=1):
        if "\n" in word or "\r" in word:
            raise ModelFolderError(
                f"{path}: word {number} of the vocabulary, {word!r}, holds a line break; "
                f"{_VOCABULARY} has one word a line"
            )
    try:
        with replacing_folder(folder) as new:
            _write(model, new)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelFolderError(f"{path}: cannot be written: {error}") from None


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Refuse a path that :func:`save_model` would refuse, before there is a model to lose.

    Raises:
        ModelFolderError: `path` is something else than a model folder or an empty folder.
    """
    folder = Path(path).absolute()
    if (folder.exists() or folder.is_symlink()) and not _replaceable(folder):
        raise ModelFolderError(f"{path}: exists and is no model folder; give a new path")


def load_model(path: str | os.PathLike[str]) -> SavedModel:
    """Read a model folder.

    Raises:
        ModelFolderError: A file is missing or unreadable, or the files do not fit together.
    """
    folder = Path(path)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ModelFolderError(f"{path}: is no model folder: {', '.join(missing)} missing")
    try:
        hyperparameters = Hyperparameters.parse(_read_json(folder / _HYPERPARAMETERS))
    except HyperparameterError as error:
        raise ModelFolderError(f"{folder / _HYPERPARAMETERS}: {error}") from None
    try:
        text = (folder / _VOCABULARY).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ModelFolderError(f"{folder / _VOCABULARY}: is not UTF-8: {error}") from None
    vocabulary = tuple(text.removesuffix("\n").split("\n"))
    if len(vocabulary) != hyperparameters.feature_dim:
        raise ModelFolderError(
            f"{folder / _VOCABULARY}: has {len(vocabulary)} words; feature_dim in "
            f"{_HYPERPARAMETERS} is {hyperparameters.feature_dim}"
        )
    return SavedModel(
        hyperparameters=hyperparameters,
        tensors=_read_tensors(folder / _TENSORS, hyperparameters),
        vocabulary=vocabulary,
        metrics=_read_json(folder / _METRICS),
    )


def _replaceable(folder: Path) -> bool:
    if not folder.is_dir() or folder.is_symlink():
        return False
    names = {entry.name for entry in folder.iterdir()}
    return not names or names == set(FILES)


def _write(model: SavedModel, folder: Path) -> None:
    safetensors.torch.save_file(dict(model.tensors), folder / _TENSORS)
    contents = {
        _HYPERPARAMETERS: json.dumps(model.hyperparameters.to_json_dict(), indent=2),
        _VOCABULARY: "\n".join(model.vocabulary),
        _METRICS: json.dumps(dict(model.metrics), indent=2),
    }
    for name, text in contents.items():
        (folder / name).write_bytes(f"{text}\n".encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelFolderError(f"{path}: is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ModelFolderError(f"{path}: must hold one JSON object")
    return value


def _read_tensors(path: Path, hyperparameters: Hyperparameters) -> dict[str, torch.Tensor]:
    try:
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelFolderError(f"{path}: is not a safetensors file: {error}") from None
    parameters, running = tensor_shapes(hyperparameters)
    expected = parameters | running
    if hyperparameters.extensions.refinable:
        expected |= SHAPES
    for name in sorted(expected.keys() | tensors.keys()):
        shape = tuple(tensors[name].shape) if name in tensors else "missing"
        if shape != expected.get(name, "not expected"):
            raise ModelFolderError(
                f"{path}: {name} is {shape}; {_HYPERPARAMETERS} makes it "
                f"{expected.get(name, 'unknown')}"
            )
    try:
        Inference.of_tensors(tensors)
    except ValueError as error:
        raise ModelFolderError(f"{path}: {error}") from None
    return tensors
