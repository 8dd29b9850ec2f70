"""One NTM: hyperparameters, network, training, topics, saved model. It knows no Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntm_ray.lazy import lazily

if TYPE_CHECKING:
    from ntm_ray.model.coherence import CoherenceReference
    from ntm_ray.model.device import resolve_device
    from ntm_ray.model.doctor import DIAGNOSES, Finding, diagnose, not_judged
    from ntm_ray.model.early_stopping import EarlyStopping
    from ntm_ray.model.evaluation import Losses
    from ntm_ray.model.evidence import Evidence
    from ntm_ray.model.hyperparameters import (
        EXTENSIONS,
        SPECIFICATION,
        FieldSpecification,
        Hyperparameters,
    )
    from ntm_ray.model.ntm import NTM
    from ntm_ray.model.precision import PRECISIONS
    from ntm_ray.model.saved import SavedModel, check_replaceable, load_model, save_model
    from ntm_ray.model.topics import (
        live_topics,
        repeated_words,
        top_numbers,
        top_words,
        topic_diversity,
        topic_uniqueness,
        word_probabilities,
    )
    from ntm_ray.model.training import EpochRecord, StopReason, Training, TrainingState

__all__ = [
    "DIAGNOSES",
    "EXTENSIONS",
    "NTM",
    "PRECISIONS",
    "SPECIFICATION",
    "CoherenceReference",
    "EarlyStopping",
    "EpochRecord",
    "Evidence",
    "FieldSpecification",
    "Finding",
    "Hyperparameters",
    "Losses",
    "SavedModel",
    "StopReason",
    "Training",
    "TrainingState",
    "check_replaceable",
    "diagnose",
    "live_topics",
    "load_model",
    "not_judged",
    "repeated_words",
    "resolve_device",
    "save_model",
    "top_numbers",
    "top_words",
    "topic_diversity",
    "topic_uniqueness",
    "word_probabilities",
]

_HOMES = {
    "DIAGNOSES": "ntm_ray.model.doctor",
    "EXTENSIONS": "ntm_ray.model.hyperparameters",
    "NTM": "ntm_ray.model.ntm",
    "PRECISIONS": "ntm_ray.model.precision",
    "SPECIFICATION": "ntm_ray.model.hyperparameters",
    "CoherenceReference": "ntm_ray.model.coherence",
    "EarlyStopping": "ntm_ray.model.early_stopping",
    "EpochRecord": "ntm_ray.model.training",
    "Evidence": "ntm_ray.model.evidence",
    "Finding": "ntm_ray.model.doctor",
    "diagnose": "ntm_ray.model.doctor",
    "not_judged": "ntm_ray.model.doctor",
    "FieldSpecification": "ntm_ray.model.hyperparameters",
    "Hyperparameters": "ntm_ray.model.hyperparameters",
    "Losses": "ntm_ray.model.evaluation",
    "SavedModel": "ntm_ray.model.saved",
    "StopReason": "ntm_ray.model.training",
    "Training": "ntm_ray.model.training",
    "TrainingState": "ntm_ray.model.training",
    "check_replaceable": "ntm_ray.model.saved",
    "live_topics": "ntm_ray.model.topics",
    "load_model": "ntm_ray.model.saved",
    "repeated_words": "ntm_ray.model.topics",
    "resolve_device": "ntm_ray.model.device",
    "save_model": "ntm_ray.model.saved",
    "top_numbers": "ntm_ray.model.topics",
    "top_words": "ntm_ray.model.topics",
    "topic_diversity": "ntm_ray.model.topics",
    "topic_uniqueness": "ntm_ray.model.topics",
    "word_probabilities": "ntm_ray.model.topics",
}

# On first use: hyperparameters and search spaces are read without waiting for torch.
__getattr__ = lazily(__name__, _HOMES)
