"""What a CPU's learner reports, against the network that runs on any device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ntm_ray.corpus import Corpus
from ntm_ray.model import Hyperparameters
from ntm_ray.model.cpu import CpuLearner
from ntm_ray.model.cpu.arithmetic import compiled, exponential
from ntm_ray.model.evaluation import evaluate
from ntm_ray.model.network import Network


def trained(corpus: Corpus, **changes: object) -> tuple[CpuLearner, Network]:
    """A learner after two epochs, and a network with its parameters."""
    hyperparameters = Hyperparameters.parse(
        {"feature_dim": corpus.feature_dim, "num_topics": 5, "optimizer": "adam",
         "learning_rate": 0.05, "mini_batch_size": 16, **changes}
    )  # fmt: skip
    learner = CpuLearner(hyperparameters, corpus, np.random.default_rng(0))
    random = np.random.default_rng(1)
    for _ in range(2):
        learner.train(random.permutation(corpus.train.shape[0]), random)
    network = Network(hyperparameters)
    network.load(learner.tensors())
    return learner, network


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_evaluation_is_that_of_the_network(
    corpus: Corpus, activation: str, batch_norm: bool
) -> None:
    learner, network = trained(corpus, encoder_layers_activation=activation, batch_norm=batch_norm)
    found, wanted = learner.evaluate(), evaluate(network, corpus.validation)
    for name in ("total_loss", "recons_loss", "kld"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=2e-6, abs=1e-7), (
            name
        )
    assert learner.evaluate() == found, "evaluation changes nothing"


def test_evaluation_of_many_documents_sees_the_noise_of_each(corpus: Corpus) -> None:
    counts = np.tile(corpus.train.toarray(), (9, 1))
    many = Corpus.from_counts(corpus.train, corpus.vocabulary, validation=counts)
    learner, network = trained(many)
    wanted = evaluate(network, many.validation)
    assert learner.evaluate().total_loss == pytest.approx(wanted.total_loss, rel=2e-6)


def test_a_learner_starts_from_what_a_network_starts_from(corpus: Corpus) -> None:
    hyperparameters = Hyperparameters(feature_dim=corpus.feature_dim, num_topics=5)
    learner = CpuLearner(hyperparameters, corpus, np.random.default_rng(4))
    network = Network(hyperparameters)
    network.initialise(np.random.default_rng(4))
    found, wanted = learner.tensors(), network.tensors()
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


@compiled
def _exponentials(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = exponential(x[i])


def test_the_exponential_is_right_to_float32_and_keeps_what_is_no_number() -> None:
    x = np.linspace(-87, 88.3, 100_001, dtype=np.float32)
    out = np.empty_like(x)
    _exponentials(x, out)
    np.testing.assert_allclose(out, np.exp(x.astype(np.float64)), rtol=2e-7)
    edges = np.array([0, -np.inf, -1e30, np.inf, 1e30, np.nan], dtype=np.float32)
    _exponentials(edges, out[: edges.size])
    np.testing.assert_array_equal(out[: edges.size], [1, 0, 0, np.inf, np.inf, np.nan])
