"""One NTM: hyperparameters, network, training, topics, saved model. It knows no Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntm_ray.model.device import resolve_device
    from ntm_ray.model.early_stopping import EarlyStopping
    from ntm_ray.model.evaluation import Losses
    from ntm_ray.model.hyperparameters import SPECIFICATION, FieldSpecification, Hyperparameters
    from ntm_ray.model.ntm import NTM
    from ntm_ray.model.precision import PRECISIONS
    from ntm_ray.model.saved import SavedModel, check_replaceable, load_model, save_model
    from ntm_ray.model.topics import top_words, topic_uniqueness, word_probabilities
    from ntm_ray.model.training import EpochRecord, StopReason, Training, TrainingState

__all__ = [
    "NTM",
    "PRECISIONS",
    "SPECIFICATION",
    "EarlyStopping",
    "EpochRecord",
    "FieldSpecification",
    "Hyperparameters",
    "Losses",
    "SavedModel",
    "StopReason",
    "Training",
    "TrainingState",
    "check_replaceable",
    "load_model",
    "resolve_device",
    "save_model",
    "top_words",
    "topic_uniqueness",
    "word_probabilities",
]

_HOMES = {
    "EarlyStopping": "ntm_ray.model.early_stopping",
    "EpochRecord": "ntm_ray.model.training",
    "FieldSpecification": "ntm_ray.model.hyperparameters",
    "Hyperparameters": "ntm_ray.model.hyperparameters",
    "Losses": "ntm_ray.model.evaluation",
    "NTM": "ntm_ray.model.ntm",
    "PRECISIONS": "ntm_ray.model.precision",
    "SPECIFICATION": "ntm_ray.model.hyperparameters",
    "SavedModel": "ntm_ray.model.saved",
    "StopReason": "ntm_ray.model.training",
    "Training": "ntm_ray.model.training",
    "TrainingState": "ntm_ray.model.training",
    "check_replaceable": "ntm_ray.model.saved",
    "load_model": "ntm_ray.model.saved",
    "resolve_device": "ntm_ray.model.device",
    "save_model": "ntm_ray.model.saved",
    "top_words": "ntm_ray.model.topics",
    "topic_uniqueness": "ntm_ray.model.topics",
    "word_probabilities": "ntm_ray.model.topics",
}


def __getattr__(name: str) -> Any:
    # On first use: what only names settings, or hands them to other processes, need not wait for
    # torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
