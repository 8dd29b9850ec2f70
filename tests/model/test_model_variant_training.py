"""Whole trainings with hyperparameters of our own: curves, bits, models, and both learners."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.torch
import torch

from ntm_ray.corpus import Corpus
from ntm_ray.model import NTM, Hyperparameters, Training, TrainingState
from ntm_ray.model.judge import encoded_weights
from ntm_ray.model.prior import concentrations
from ntm_ray.model.variant_network import network_for
from tests.model.device_training import (
    LIVELY,
    OPTIMIZERS,
    device_training,
    recorded_noise,
    train_curve,
)
from tests.model.plain_ntm import plain_cosine, plain_curve

if TYPE_CHECKING:
    from pathlib import Path

COHERENT: dict[str, Any] = {
    "decoder": "mixture",
    "decoder_start": "clusters",
    "decoder_rate": 3,
    "encoder_input": "log",
    "kl_weight": 0.7,
    "prior_concentration": 0.5,
    "prior": "learned",
    "encoder_dropout": 0.2,
    "refinement": 2,
    "learning_rate_decay": 1.0,
    "diversity_weight": 0.1,
}
NEEDING = ("prior", "refinement", "diversity_weight")  # which do nothing by themselves
EACH = [
    *({name: value} for name, value in COHERENT.items() if name not in NEEDING),
    {"decoder_start": "frequencies"},
    {"prior_concentration": 0.3, "prior": "learned"},
    {"encoder_dropout": 0.4},
    {"encoder_dropout": 0.4, "decoder": "mixture", "encoder_input": "log"},
    {"refinement": 1, "decoder": "mixture", "prior_concentration": 0.4},
    {"diversity_weight": 0.5, "decoder": "mixture"},
]


def cpu_training(corpus: Corpus, *, seed: int = 0, **changes: Any) -> Training:
    settings = {"feature_dim": corpus.feature_dim, **LIVELY, **changes}
    return Training(Hyperparameters.parse(settings), corpus, seed=seed, device="cpu")


@pytest.mark.parametrize("changes", [*EACH, COHERENT], ids=str)
def test_five_epochs_on_a_cpu_are_those_of_the_plain_formulation(
    corpus: Corpus, changes: dict[str, Any]
) -> None:
    found = train_curve(cpu_training(corpus, **changes), 5)
    expected = plain_curve(cpu_training(corpus, **changes), corpus, 5)
    assert found == pytest.approx(expected, rel=1e-4)
    assert max(found) - min(found) > 0.002


@pytest.mark.parametrize("changes", [*EACH, COHERENT], ids=str)
def test_five_epochs_of_the_learner_of_accelerators_are_too(
    corpus: Corpus, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded_noise(monkeypatch) as noise:
        found = train_curve(device_training(corpus, **changes), 5)
    expected = plain_curve(device_training(corpus, **changes), corpus, 5, noise)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("make", [cpu_training, device_training])
@pytest.mark.parametrize("weight_decay", [0, 0.01])
@pytest.mark.parametrize(("optimizer", "learning_rate"), OPTIMIZERS)
def test_any_optimizers_rate_falls(
    corpus: Corpus,
    optimizer: str,
    learning_rate: float,
    weight_decay: float,
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = {
        "optimizer": optimizer, "learning_rate": learning_rate, "weight_decay": weight_decay,
        "epochs": 6, "sub_sample": 0.7,
    }  # fmt: skip
    falling = {**changes, "learning_rate_decay": 0.7}
    with recorded_noise(monkeypatch) as noise:
        found = train_curve(make(corpus, **falling), 6)
    drawn = noise if make is device_training else None
    expected = plain_curve(make(corpus, **falling), corpus, 6, drawn)
    assert found == pytest.approx(expected, rel=1e-4)
    constant = train_curve(make(corpus, **changes), 6)
    # Adadelta has none.
    assert (found == pytest.approx(constant, rel=1e-6)) == (optimizer == "adadelta")


@pytest.mark.parametrize(("optimizer", "learning_rate"), OPTIMIZERS)
def test_any_optimizer_takes_the_decoders_own_rate(
    corpus: Corpus, optimizer: str, learning_rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {
        **COHERENT, "optimizer": optimizer, "learning_rate": learning_rate, "weight_decay": 0.001,
    }  # fmt: skip
    found = train_curve(cpu_training(corpus, **changes), 4)
    expected = plain_curve(cpu_training(corpus, **changes), corpus, 4)
    assert found == pytest.approx(expected, rel=1e-4)
    with recorded_noise(monkeypatch) as noise:
        found = train_curve(device_training(corpus, **changes), 4)
    expected = plain_curve(device_training(corpus, **changes), corpus, 4, noise)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("make", [cpu_training, device_training])
def test_a_training_restored_half_way_gives_the_same_bits(
    corpus: Corpus, tmp_path: Path, make: Any
) -> None:
    whole = make(corpus, **COHERENT)
    expected = [whole.train_epoch().metrics()["validation:total_loss"] for _ in range(6)]
    first = make(corpus, **COHERENT)
    for _ in range(3):
        first.train_epoch()
    state = first.state_dict()
    safetensors.torch.save_file(state["tensors"], tmp_path / "tensors")
    restored = make(corpus, seed=99, **COHERENT)
    restored.load_state_dict(
        TrainingState(
            tensors=safetensors.torch.load_file(tmp_path / "tensors"),
            values=json.loads(json.dumps(state["values"])),
        )
    )
    again = [restored.train_epoch().metrics()["validation:total_loss"] for _ in range(3)]
    assert again == expected[3:]


@pytest.mark.parametrize("changes", [*EACH, COHERENT], ids=str)
def test_a_saved_model_is_the_one_that_was_trained(
    corpus: Corpus, tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = NTM(num_topics=3, optimizer="adam", learning_rate=0.02, epochs=6, **changes)
    model.fit(corpus, device="cpu")
    model.save(tmp_path / "model")
    loaded = NTM.load(tmp_path / "model")
    assert loaded.hyperparameters == model.hyperparameters
    assert loaded.hyperparameters.extensions.changed() == changes
    evaluated = loaded.evaluate(corpus.validation)
    assert evaluated.total_loss == pytest.approx(model.metrics["validation:total_loss"], rel=1e-5)
    weights = loaded.transform(corpus.validation)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(weights, model.transform(corpus.validation))


@pytest.mark.parametrize("make", [cpu_training, device_training])
def test_a_prior_that_learns_gives_rare_topics_less(corpus: Corpus, make: Any) -> None:
    off = {"refinement": 0, "encoder_dropout": 0, "learning_rate_decay": 0}
    run = make(corpus, **{**COHERENT, **off})
    before = concentrations(run.state_dict()["tensors"]["network.prior_mean"])
    assert before.numpy() == pytest.approx([0.5] * 3, rel=1e-5)
    for _ in range(30):
        run.train_epoch()
    network = network_for(run.hyperparameters)
    network.load(run.best_tensors)  # the encoder's weights, which the prior follows
    weights = encoded_weights(network, corpus.train).mean(axis=0)
    after = concentrations(run.best_tensors["prior_mean"]).numpy()
    assert list(after.argsort()) == list(weights.argsort())
    assert after.max() > 1.1 * after.min()


@pytest.mark.parametrize(
    "missing", [{"decoder": "product"}, {"prior_concentration": 0}, {"refinement": 0}], ids=str
)
def test_refinement_is_of_mixed_topics_with_a_dirichlet_prior(
    corpus: Corpus, missing: dict[str, Any]
) -> None:
    able = {"decoder": "mixture", "prior_concentration": 0.5, "refinement": 3}
    with_it = train_curve(cpu_training(corpus, **{**able, **missing}), 3)
    without = train_curve(cpu_training(corpus, **{**able, **missing, "refinement": 0}), 3)
    assert with_it == without


def test_topics_that_are_not_mixed_are_not_parted(corpus: Corpus) -> None:
    with_it = train_curve(cpu_training(corpus, encoder_input="log", diversity_weight=1), 3)
    assert with_it == train_curve(cpu_training(corpus, encoder_input="log"), 3)


@pytest.mark.parametrize("make", [cpu_training, device_training])
def test_topics_that_are_parted_differ_more(make: Any) -> None:
    grid = Corpus.read("synthetic")
    alike = []
    for weight in (0.0, 0.2):
        run = make(grid, decoder="mixture", diversity_weight=weight, epochs=5)
        train_curve(run, 5)
        topics = torch.softmax(run.state_dict()["tensors"]["network.projection_weight"], dim=0)
        alike.append(float(plain_cosine(topics)))
    assert alike[1] < alike[0] - 0.05


def test_a_normal_prior_has_nothing_to_learn(corpus: Corpus) -> None:
    run = cpu_training(corpus, prior="learned")
    assert "network.prior_mean" not in run.state_dict()["tensors"]


def test_mixed_topics_are_distributions_near_the_true_ones() -> None:
    grid = Corpus.read("synthetic")
    settings = {**COHERENT, "decoder_rate": 10, "mini_batch_size": 64, "epochs": 40}
    model = NTM(num_topics=10, optimizer="adam", learning_rate=0.005, **settings)
    model.fit(grid, device="cpu")
    assert grid.true_topics is not None
    distance = np.abs(grid.true_topics[:, None] - model.topic_word[None]).sum(axis=2) / 2
    # Some come out as two that share a topic; of those that do not, nothing is missing.
    assert (distance.min(axis=1) < 0.1).sum() >= 3
    assert distance.min(axis=1).max() < 0.7
    assert model.metrics["live_topics"] >= 5
    assert model.metrics["npmi"] > 0.03
