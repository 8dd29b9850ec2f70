"""The network with hyperparameters of our own against the plain formulation, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from ntm_ray.model import Hyperparameters, decoder
from ntm_ray.model.cpu.arithmetic import compiled
from ntm_ray.model.cpu.divergence import concentrations as inner_concentrations
from ntm_ray.model.network import Network
from ntm_ray.model.prior import EULER, concentrations, log_exponential
from ntm_ray.model.variant_network import VariantNetwork, network_for
from tests.model.plain_ntm import plain_losses, weibull_from_gamma
from tests.model.test_model_network import TOPICS, VOCABULARY, batch_of, counts, gradient_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

CASES: list[dict[str, Any]] = [
    {"decoder": "mixture"},
    {"decoder": "mixture", "encoder_input": "log", "encoder_layers": "6,5"},
    {"encoder_input": "log", "batch_norm": True, "encoder_layers_activation": "tanh"},
    {"prior_concentration": 0.6, "decoder": "mixture", "kl_weight": 0.3},
    {"prior_concentration": 3, "encoder_input": "log"},
    {"kl_weight": 0.2},
    {"encoder_dropout": 0.4, "encoder_input": "log", "decoder": "mixture"},
    {"refinement": 1, "decoder": "mixture", "prior_concentration": 0.5},
    {"refinement": 4, "decoder": "mixture", "prior_concentration": 2, "encoder_dropout": 0.1},
    {"diversity_weight": 0.5, "decoder": "mixture"},
]


@compiled
def of_a_cpu(means: NDArray[np.float32], out: NDArray[np.float64]) -> None:
    inner_concentrations(means, out)


def settings(**changes: object) -> Hyperparameters:
    return Hyperparameters.parse({"feature_dim": VOCABULARY, "num_topics": TOPICS, **changes})


def float64_network(hyperparameters: Hyperparameters) -> VariantNetwork:
    made = network_for(hyperparameters, dtype=torch.float64)
    assert isinstance(made, VariantNetwork)
    made.initialise(np.random.default_rng(0))
    generator = torch.Generator().manual_seed(1)
    for name in made.parameters:
        shape = made.parameters[name].shape
        made.parameters[name].add_(
            torch.randn(shape, generator=generator, dtype=torch.float64), alpha=0.5
        )
    return made


@pytest.mark.parametrize("documents", [2, 9])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_losses_and_every_gradient_are_those_of_the_plain_formulation(
    case: dict[str, Any], documents: int
) -> None:
    hyperparameters = settings(**case)
    made, rows = float64_network(hyperparameters), counts(documents)
    made.start_from(rows, hyperparameters, np.random.default_rng(0))
    weight = hyperparameters.extensions.kl_weight
    noise = torch.randn(documents, TOPICS, dtype=torch.float64)
    p = {name: made.parameters[name].clone().requires_grad_() for name in made.parameters}
    recons, kld = plain_losses(p, torch.tensor(rows.toarray()).double(), noise, hyperparameters)
    expected = torch.autograd.grad(
        (recons + weight * kld).sum(), list(p.values()), allow_unused=True
    )

    losses = made.train_losses(batch_of(rows), noise)

    torch.testing.assert_close(losses.recons, recons.detach())
    torch.testing.assert_close(losses.kld, kld.detach())
    for name, gradient in zip(p, expected, strict=True):
        found = gradient_of(made, name)
        wanted = torch.zeros_like(found) if gradient is None else gradient
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", ["product", "mixture"])
def test_documents_larger_than_a_tile_change_nothing(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = {"decoder": kind, "encoder_input": "log"}
    rows, noise = counts(9), torch.randn(9, TOPICS, dtype=torch.float64)
    whole = float64_network(settings(**case))
    expected = whole.train_losses(batch_of(rows), noise)
    monkeypatch.setitem(decoder._TILE_BYTES, "cpu", 4 * VOCABULARY * 8)
    tiled = float64_network(settings(**case))
    found = tiled.train_losses(batch_of(rows), noise)
    torch.testing.assert_close(found.recons, expected.recons)
    torch.testing.assert_close(tiled.losses(batch_of(rows), noise).recons, expected.recons)
    for name in whole.parameters:
        torch.testing.assert_close(gradient_of(tiled, name), gradient_of(whole, name))


@pytest.mark.parametrize(
    "case", [c for c in CASES if "batch_norm" not in c and "encoder_dropout" not in c], ids=str
)
def test_evaluation_gives_the_losses_of_training(case: dict[str, Any]) -> None:
    made, rows = float64_network(settings(**case)), counts(9)
    noise = torch.randn(9, TOPICS, dtype=torch.float64)
    train = made.train_losses(batch_of(rows), noise)
    evaluated = made.losses(batch_of(rows, transposed=False), noise)
    torch.testing.assert_close(evaluated.recons, train.recons)
    torch.testing.assert_close(evaluated.kld, train.kld)
    mean, log_sigma = made.posterior(batch_of(rows))
    torch.testing.assert_close(made.kl_divergence(mean, log_sigma), train.kld)


def test_the_divergence_from_a_gamma_is_what_samples_say() -> None:
    made = float64_network(settings(prior_concentration=0.7))
    mean = torch.tensor([[0.3, -1.0, 0.5, 0.0]], dtype=torch.float64)
    log_sigma = torch.tensor([[0.1, 0.6, -0.5, 0.0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(400_000, 4, generator=generator, dtype=torch.float64)
    weights = torch.exp(mean + log_sigma.exp() * log_exponential(noise))
    posterior = torch.distributions.Weibull(mean.exp(), (-log_sigma).exp())
    prior = torch.distributions.Gamma(torch.tensor(0.7).double(), torch.tensor(1.0).double())
    ratios = posterior.log_prob(weights) - prior.log_prob(weights)  # type: ignore[no-untyped-call]
    sampled = ratios.sum(dim=1).mean()
    assert float(made.kl_divergence(mean, log_sigma)) == pytest.approx(float(sampled), rel=0.01)


def test_concentrations_are_those_of_which_digamma_is_the_mean() -> None:
    wanted = torch.tensor([0.01, 0.02, 0.3, 0.57, 1.0, 7.0, 100.0], dtype=torch.float64)
    torch.testing.assert_close(concentrations(torch.digamma(wanted)), wanted)
    beyond = torch.tensor([-1e4, 9.0], dtype=torch.float64)
    assert concentrations(beyond).tolist() == [0.01, 100.0]
    on_a_cpu = np.zeros(7)
    of_a_cpu(torch.digamma(wanted).numpy().astype(np.float32), on_a_cpu)
    np.testing.assert_allclose(on_a_cpu, wanted, rtol=1e-5)


def test_the_divergence_is_least_at_the_concentration_that_is_learned() -> None:
    generator = torch.Generator().manual_seed(3)
    mean, log_sigma = torch.randn(2, 50, 4, generator=generator, dtype=torch.float64) / 2
    log_weights = mean - EULER * log_sigma.exp()
    learned = concentrations(log_weights.mean(dim=0))
    at, lower, higher = (
        float(weibull_from_gamma(mean, log_sigma.exp(), factor * learned).mean())
        for factor in (1.0, 0.99, 1.01)
    )
    assert at < min(lower, higher)


def test_topic_weights_of_a_weibull_posterior_are_of_its_means() -> None:
    made, rows = float64_network(settings(prior_concentration=1)), counts(5)
    mean, log_sigma = made.posterior(batch_of(rows))
    means = torch.distributions.Weibull(mean.exp(), (-log_sigma).exp()).mean
    torch.testing.assert_close(
        made.topic_weights(batch_of(rows)), means / means.sum(dim=1, keepdim=True)
    )


def test_without_anything_of_our_own_the_network_is_the_faithful_one() -> None:
    assert type(network_for(settings(optimizer="adam"))) is Network
    assert type(network_for(settings(decoder="product", kl_weight=1))) is Network
