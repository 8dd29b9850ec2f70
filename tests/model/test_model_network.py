from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse
import torch

from ntm_ray.model import Hyperparameters, decoder, initial, parameters
from ntm_ray.model.batch import Batch
from ntm_ray.model.network import Network, kl_divergence
from tests.model.plain_ntm import plain_losses

VOCABULARY, TOPICS = 17, 4


def settings(**changes: object) -> Hyperparameters:
    return Hyperparameters.parse({"feature_dim": VOCABULARY, "num_topics": TOPICS, **changes})


def float64_network(hyperparameters: Hyperparameters) -> Network:
    made = Network(hyperparameters, dtype=torch.float64)
    made.initialise(np.random.default_rng(0))
    # Far from the start, so that no term of a gradient is too small to be seen.
    generator = torch.Generator().manual_seed(1)
    for name in made.parameters:
        made.parameters[name].add_(
            torch.randn(made.parameters[name].shape, generator=generator, dtype=torch.float64),
            alpha=0.5,
        )
    return made


def gradient_of(made: Network, name: str) -> torch.Tensor:
    if name != "encoder_0_weight":
        return made.gradient[name]
    assert made.encoder_gradient is not None
    return made.encoder_gradient.dense()[:, : made.parameters[name].shape[1]]


def counts(documents: int) -> scipy.sparse.csr_matrix:
    random = np.random.default_rng(documents)
    dense = random.poisson(0.6, size=(documents, VOCABULARY))
    dense[:, 3] += 1
    return scipy.sparse.csr_matrix(dense, dtype=np.float32)


def batch_of(rows: scipy.sparse.csr_matrix, *, transposed: bool = True) -> Batch:
    return Batch.of(rows, dtype=torch.float64, device=torch.device("cpu"), transposed=transposed)


@pytest.mark.parametrize("documents", [1, 2, 9])
@pytest.mark.parametrize("layers", ["5", "6,5", "7,6,5"])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_losses_and_every_gradient_are_those_of_the_plain_formulation(
    activation: str, batch_norm: bool, layers: str, documents: int
) -> None:
    hyperparameters = settings(
        encoder_layers=layers, batch_norm=batch_norm, encoder_layers_activation=activation
    )
    made = float64_network(hyperparameters)
    rows = counts(documents)
    noise = torch.randn(documents, TOPICS, dtype=torch.float64)
    p = {name: made.parameters[name].clone().requires_grad_() for name in made.parameters}
    recons, kld = plain_losses(p, torch.tensor(rows.toarray()).double(), noise, hyperparameters)
    expected = torch.autograd.grad((recons + kld).sum(), list(p.values()))

    losses = made.train_losses(batch_of(rows), noise)

    torch.testing.assert_close(losses.recons, recons.detach())
    torch.testing.assert_close(losses.kld, kld.detach())
    for name, gradient in zip(p, expected, strict=True):
        found = gradient_of(made, name)
        np.testing.assert_allclose(found, gradient, rtol=1e-9, atol=1e-9, err_msg=name)


def test_documents_larger_than_a_tile_of_logits_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, noise = counts(9), torch.randn(9, TOPICS, dtype=torch.float64)
    whole = float64_network(settings())
    expected = whole.train_losses(batch_of(rows), noise)
    monkeypatch.setitem(decoder._TILE_BYTES, "cpu", 4 * VOCABULARY * 8)
    monkeypatch.setattr(parameters, "_PART_BYTES", 0)
    tiled = float64_network(settings())
    found = tiled.train_losses(batch_of(rows), noise)
    torch.testing.assert_close(found.recons, expected.recons)
    for name in whole.parameters:
        torch.testing.assert_close(gradient_of(tiled, name), gradient_of(whole, name))


def test_evaluation_without_batch_norm_gives_the_losses_of_training() -> None:
    made, rows = float64_network(settings()), counts(9)
    noise = torch.randn(9, TOPICS, dtype=torch.float64)
    train = made.train_losses(batch_of(rows), noise)
    evaluated = made.losses(batch_of(rows, transposed=False), noise)
    torch.testing.assert_close(evaluated.recons, train.recons)
    torch.testing.assert_close(evaluated.kld, train.kld)


def test_running_statistics_take_a_tenth_of_each_batch_and_the_biased_variance() -> None:
    made, rows = float64_network(settings(batch_norm=True)), counts(9)
    made.train_losses(batch_of(rows), torch.zeros(9, TOPICS, dtype=torch.float64))
    linear = rows.toarray() @ made.parameters["encoder_0_weight"].numpy()
    np.testing.assert_allclose(made.running["encoder_0_mean"], 0.1 * linear.mean(axis=0))
    np.testing.assert_allclose(made.running["encoder_0_var"], 0.9 + 0.1 * linear.var(axis=0))


def test_evaluation_with_batch_norm_sees_a_document_alone_as_among_others() -> None:
    made, rows = float64_network(settings(batch_norm=True)), counts(9)
    made.train_losses(batch_of(rows), torch.zeros(9, TOPICS, dtype=torch.float64))
    together = made.posterior(batch_of(rows))[0]
    alone = made.posterior(batch_of(rows[4:5]))[0]
    torch.testing.assert_close(alone[0], together[4])


def test_logits_far_out_of_range_keep_the_loss_finite() -> None:
    made, rows = float64_network(settings()), counts(3)
    made.parameters["projection_weight"].mul_(1e4)
    losses = made.train_losses(batch_of(rows), torch.zeros(3, TOPICS, dtype=torch.float64))
    assert torch.isfinite(losses.recons).all()
    assert torch.isfinite(made.gradient.flat).all()


def test_kl_divergence_is_zero_at_the_prior_and_positive_elsewhere() -> None:
    mean, log_sigma = torch.tensor([[0.0], [1.0], [0.0]]), torch.tensor([[0.0], [0.0], [1.0]])
    expected = torch.tensor([0.0, 0.5, 0.5 * (math.exp(2) - 1) - 1])
    torch.testing.assert_close(kl_divergence(mean, log_sigma), expected)


def test_weights_start_uniform_within_mxnets_range_and_biases_at_zero() -> None:
    made = Network(settings(feature_dim=3000))
    made.initialise(np.random.default_rng(0))
    weight = made.parameters["projection_weight"]
    assert 0.0699 < weight.max() <= 0.07
    assert -0.07 <= weight.min() < -0.0699
    assert abs(weight.mean()) < 0.002
    assert all(not made.parameters[n].any() for n in made.parameters if not n.endswith("_weight"))


def test_weights_drawn_in_parts_are_those_drawn_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, parts = Network(settings(feature_dim=300)), Network(settings(feature_dim=300))
    whole.initialise(np.random.default_rng(0))
    monkeypatch.setattr(initial, "_TOGETHER", 7 * TOPICS)
    parts.initialise(np.random.default_rng(0))
    assert torch.equal(whole.parameters.flat, parts.parameters.flat)


def test_a_batch_without_its_transpose_cannot_be_trained_on() -> None:
    with pytest.raises(ValueError, match="transposed=True"):
        float64_network(settings()).train_losses(
            batch_of(counts(2), transposed=False), torch.zeros(2, TOPICS, dtype=torch.float64)
        )
