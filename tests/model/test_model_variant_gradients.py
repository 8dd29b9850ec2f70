"""A CPU's step with hyperparameters of our own against autograd in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from ntm_ray.model import Hyperparameters
from ntm_ray.model.cpu import CpuLearner
from tests.model.plain_ntm import plain_losses
from tests.model.test_model_cpu_gradients import assert_close, corpus_of, stepped

if TYPE_CHECKING:
    from ntm_ray.corpus import Corpus

CASES: list[dict[str, Any]] = [
    {"decoder": "mixture"},
    {"decoder": "mixture", "encoder_input": "log", "encoder_layers_activation": "tanh"},
    {"decoder": "mixture", "vocabulary": 2500, "mini_batch_size": 9, "num_topics": 21},
    {"encoder_input": "log", "encoder_layers": "5", "batch_norm": True},
    {"prior_concentration": 0.7, "decoder": "mixture", "encoder_input": "log"},
    {"prior_concentration": 0.3, "num_topics": 3},
    {"prior_concentration": 1, "encoder_layers_activation": "relu", "spread": 0.7},
    {"kl_weight": 0.3},
    {"encoder_dropout": 0.5, "encoder_input": "log", "vocabulary": 300},
    {"encoder_dropout": 0.2, "decoder": "mixture", "prior_concentration": 0.7},
    {"refinement": 1, "decoder": "mixture", "prior_concentration": 0.3},
    {"refinement": 3, "decoder": "mixture", "prior_concentration": 2, "num_topics": 17},
    {"kl_weight": 0.3, "prior_concentration": 2, "decoder": "mixture", "mini_batch_size": 5},
    {"diversity_weight": 0.5, "decoder": "mixture"},
    {"diversity_weight": 0.1, "decoder": "mixture", "vocabulary": 2500, "num_topics": 21},
    {"diversity_weight": 1, "decoder": "mixture", "refinement": 2, "prior_concentration": 0.3},
]


def learner_of(case: dict[str, Any], **changes: Any) -> tuple[CpuLearner, Hyperparameters, Corpus]:
    case = {"vocabulary": 40, "num_topics": 6, "mini_batch_size": 16, **case, **changes}
    spread = case.pop("spread", 0.4)
    corpus = corpus_of(case["mini_batch_size"], case.pop("vocabulary"))
    settings = {"optimizer": "sgd", "learning_rate": 1.0, **case}
    hyperparameters = Hyperparameters.parse({"feature_dim": corpus.feature_dim, **settings})
    made = CpuLearner(hyperparameters, corpus, np.random.default_rng(0))
    made.load(drawn(made.tensors(), spread), made.optimizer_tensors(), 0)
    return made, hyperparameters, corpus


def drawn(tensors: dict[str, torch.Tensor], spread: float) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return {
        name: tensor if name.endswith(("_mean", "_var")) else torch.randn(
            tensor.shape, generator=random
        ) * spread
        for name, tensor in tensors.items()
    }  # fmt: skip


def without_statistics(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n: t for n, t in tensors.items() if not n.endswith(("_mean", "_var"))}


def wanted_of(
    made: CpuLearner, hyperparameters: Hyperparameters, corpus: Corpus
) -> tuple[dict[str, torch.Tensor], float]:
    """Gradients by autograd, and the loss; a parameter that nothing depends on has none."""
    p = {
        name: tensor.double().requires_grad_()
        for name, tensor in without_statistics(made.tensors()).items()
    }
    x = torch.tensor(corpus.train.toarray(), dtype=torch.float64)
    shape = (len(x), hyperparameters.num_topics)
    noise = np.random.default_rng(5).standard_normal(shape, dtype=np.float32)
    recons, kld = plain_losses(p, x, torch.from_numpy(noise).double(), hyperparameters)
    loss = float(((recons + kld) / x.sum(dim=1)).mean().detach())
    objective = (recons + hyperparameters.extensions.kl_weight * kld).sum()
    found = torch.autograd.grad(objective, list(p.values()), allow_unused=True)
    gradients = {
        name: torch.zeros_like(p[name]) if gradient is None else gradient
        for name, gradient in zip(p, found, strict=True)
    }
    return gradients, loss


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_gradient_of_every_parameter_is_that_of_autograd(case: dict[str, Any]) -> None:
    made, hyperparameters, corpus = learner_of(case)
    gradients, loss = wanted_of(made, hyperparameters, corpus)
    found, found_loss = stepped(made, corpus)
    assert found_loss == pytest.approx(loss, rel=1e-5)
    assert_close(found, gradients)


@pytest.mark.parametrize("decoder", ["product", "mixture"])
def test_the_decoder_has_a_rate_of_its_own(decoder: str) -> None:
    made, hyperparameters, corpus = learner_of({"decoder": decoder, "decoder_rate": 7})
    gradients, _ = wanted_of(made, hyperparameters, corpus)
    found, _ = stepped(made, corpus)
    for name, gradient in gradients.items():
        if name.startswith("projection"):
            gradient.mul_(7)
    assert_close(found, gradients)
