"""Rows that are brought up to date when they are read, against the update of all at every step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ntm_ray.model import Hyperparameters
from ntm_ray.model.cpu import update
from ntm_ray.model.cpu.arithmetic import compiled
from ntm_ray.model.cpu.update import RULES, step_rates
from ntm_ray.model.schedule import Schedule
from tests.model.plain_ntm import plain_fall, plain_update

ROWS, WIDTH, STEPS = 30, 16, 400
SETTINGS: list[dict[str, float]] = [
    {},
    {"weight_decay": 0.02},
    {"weight_decay": 0.02, "clip_gradient": 0.05},
    {"rescale_gradient": 0.1, "clip_gradient": 0.3},
    {"weight_decay": 0.02, "learning_rate_decay": 0.6},
    {"learning_rate_decay": 1},
]


@compiled
def refresh_rows(
    rule: int, words: np.ndarray, w: np.ndarray, a: np.ndarray, b: np.ndarray, last: np.ndarray,
    step: int, decay: float, settings: np.ndarray, rates: np.ndarray,
) -> None:  # fmt: skip
    update.refresh_rows(rule, words, w, a, b, last, step, decay, settings, rates)


@compiled
def update_rows(
    rule: int, words: np.ndarray, w: np.ndarray, g: np.ndarray, a: np.ndarray, b: np.ndarray,
    decay: float, settings: np.ndarray,
) -> None:  # fmt: skip
    update.update_rows(rule, words, w, g, a, b, decay, settings)


class LazyRows:
    """Some rows under one of the compiled optimizers."""

    def __init__(self, hyperparameters: Hyperparameters, start: np.ndarray) -> None:
        self.rule = RULES[hyperparameters.optimizer]
        self.decay = hyperparameters.weight_decay
        self.rates = step_rates(
            hyperparameters.optimizer,
            hyperparameters.learning_rate,
            STEPS + 1,
            Schedule(STEPS, hyperparameters.extensions.learning_rate_decay),
        )
        self.settings = np.array(
            [hyperparameters.rescale_gradient, hyperparameters.clip_gradient, 0], np.float32
        )
        self.w, self.a, self.b = start.copy(), np.zeros_like(start), np.zeros_like(start)
        self.last = np.zeros(len(start), dtype=np.int64)
        self.steps = 0

    def refresh(self, words: np.ndarray) -> None:
        refresh_rows(
            self.rule, words, self.w, self.a, self.b, self.last, self.steps, self.decay,
            self.settings, self.rates,
        )  # fmt: skip

    def step(self, words: np.ndarray, gradient: np.ndarray) -> None:
        self.refresh(words)
        self.steps += 1
        self.settings[2] = self.rates[self.steps]
        update_rows(self.rule, words, self.w, gradient, self.a, self.b, self.decay, self.settings)
        self.last[words] = self.steps


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("name", RULES)
def test_many_steps_end_where_plain_updates_of_every_row_end(
    name: str, setting: dict[str, float]
) -> None:
    hyperparameters = Hyperparameters.parse(
        {"feature_dim": ROWS, "num_topics": 2, "learning_rate": 0.02, "optimizer": name, **setting}
    )
    random = np.random.default_rng(1)
    start = random.standard_normal((ROWS, WIDTH)).astype(np.float32)
    # Gradients from everyday to so small that adam's epsilon counts, and none at all.
    scale = 10.0 ** -np.arange(WIDTH)
    scale[-1] = 0
    lazy, plain = LazyRows(hyperparameters, start), torch.from_numpy(start).double()
    state: dict[str, torch.Tensor] = {}
    for step in range(1, STEPS + 1):
        # Row 0 is read once in the beginning, the last never, others every twenty steps.
        words = np.flatnonzero(random.random(ROWS - 1) < 0.05).astype(np.int32)
        words = words[words > 0] if step > 1 else np.arange(3, dtype=np.int32)
        gradient = (random.standard_normal((len(words), WIDTH)) * scale).astype(np.float32)
        lazy.refresh(words)
        np.testing.assert_allclose(lazy.w[words], plain[words], rtol=2e-5, atol=3e-6)
        lazy.step(words, gradient)
        dense = torch.zeros(ROWS, WIDTH, dtype=torch.float64)
        dense[torch.from_numpy(words).long()] = torch.from_numpy(gradient).double()
        faster = plain_fall(step, STEPS, hyperparameters)
        plain = plain_update(plain, dense, state, step, True, hyperparameters, faster)
    lazy.refresh(np.arange(ROWS, dtype=np.int32))
    np.testing.assert_allclose(lazy.w, plain, rtol=2e-5, atol=3e-6)
    if name in {"adam", "rmsprop", "adagrad", "adadelta"}:
        np.testing.assert_allclose(lazy.a, state["a"], rtol=1e-3, atol=1e-9)
    if name in {"adam", "adadelta"}:
        np.testing.assert_allclose(lazy.b, state["b"], rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_a_step_leaves_rows_alone_that_no_document_reads(name: str) -> None:
    hyperparameters = Hyperparameters.parse(
        {"feature_dim": ROWS, "num_topics": 2, "optimizer": name, "weight_decay": 0.1}
    )
    start = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)
    lazy = LazyRows(hyperparameters, start)
    lazy.step(np.array([7], dtype=np.int32), np.ones((1, WIDTH), dtype=np.float32))
    assert np.flatnonzero((lazy.w != start).any(axis=1)).tolist() == [7]
    lazy.refresh(np.arange(ROWS, dtype=np.int32))
    assert (lazy.w != start).all()
