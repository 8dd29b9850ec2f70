"""Trainings by the learner of accelerators, here on a CPU where all its operations run too."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ntm_ray.model import Hyperparameters, Training
from ntm_ray.model.device_learner import DeviceLearner
from ntm_ray.model.staging import Ready, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from ntm_ray.corpus import Corpus
    from ntm_ray.model.precision import Precision

LIVELY: dict[str, Any] = {
    "num_topics": 3,
    "optimizer": "adam",
    "learning_rate": 0.05,
    "mini_batch_size": 16,
    "num_patience_epochs": 99,
}

OPTIMIZERS = [
    ("sgd", 0.002),
    ("adam", 0.02),
    ("adagrad", 0.02),
    ("adadelta", 1.0),
    ("rmsprop", 0.002),
]


def device_training(
    corpus: Corpus,
    *,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision = "float32",
    graphs: bool = True,
    **changes: Any,
) -> Training:
    """A training whose learner is that of accelerators, whatever the device."""
    hyperparameters = Hyperparameters.parse(
        {"feature_dim": corpus.feature_dim, **LIVELY, **changes}
    )
    run = Training(hyperparameters, corpus, seed=seed)
    run._generator = np.random.default_rng(seed)
    run._learner = DeviceLearner(
        hyperparameters,
        corpus,
        run._generator,
        torch.device(device),
        precision=precision,
        graphs=graphs,
    )
    return run


def train_curve(run: Training, epochs: int) -> list[float]:
    return [run.train_epoch().train.total_loss for _ in range(epochs)]


@contextmanager
def recorded_noise(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.Tensor]]:
    """The noise of each step in turn."""
    seen: list[torch.Tensor] = []
    original = Stage.next

    def watched(stage: Stage) -> Ready:
        ready = original(stage)
        seen.append(ready.noise.clone())
        return ready

    with monkeypatch.context() as patch:
        patch.setattr(Stage, "next", watched)
        yield seen
