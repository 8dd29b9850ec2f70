"""One NTM: hyperparameters, network, training, topics, saved model. It knows no Ray."""

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
