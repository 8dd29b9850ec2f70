"""A CPU's step against autograd in float64: sgd at rate 1 takes the gradient off the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ntm_ray.corpus import Corpus
from ntm_ray.model import Hyperparameters
from ntm_ray.model.cpu import CpuLearner, layout
from ntm_ray.model.cpu import learner as cpu_learner
from tests.model.plain_ntm import plain_losses

Tensors = dict[str, torch.Tensor]
CASES: list[dict[str, Any]] = [
    {},
    {"encoder_layers_activation": "tanh", "encoder_layers": "7", "num_topics": 2},
    {"encoder_layers_activation": "relu", "encoder_layers": "5,17,3", "num_topics": 21},
    {"encoder_layers_activation": "sigmoid", "batch_norm": True, "mini_batch_size": 13},
    {"encoder_layers_activation": "tanh", "batch_norm": True, "encoder_layers": "33,2"},
    {"vocabulary": 2500, "mini_batch_size": 9},
    {"mini_batch_size": 1, "num_topics": 4},
]


def corpus_of(documents: int, vocabulary: int) -> Corpus:
    """Documents of Poisson counts, about five distinct words each and at least one."""
    random = np.random.default_rng(3)
    counts = random.poisson(5 / vocabulary, size=(documents, vocabulary))
    counts[np.arange(documents), random.integers(0, vocabulary, documents)] += 2
    words = [f"word{i}" for i in range(vocabulary)]
    return Corpus.from_counts(counts, words, validation=counts[:1])


def learner_of(case: dict[str, Any], **changes: Any) -> tuple[CpuLearner, Hyperparameters, Corpus]:
    case = {"vocabulary": 40, "num_topics": 6, "mini_batch_size": 16, **case, **changes}
    corpus = corpus_of(case["mini_batch_size"], case.pop("vocabulary"))
    settings = {"optimizer": "sgd", "learning_rate": 1.0, **case}
    hyperparameters = Hyperparameters.parse({"feature_dim": corpus.feature_dim, **settings})
    made = CpuLearner(hyperparameters, corpus, np.random.default_rng(0))
    random = torch.Generator().manual_seed(1)
    drawn = {
        name: tensor if name.endswith(("_mean", "_var")) else torch.randn(
            tensor.shape, generator=random
        ) * 0.4
        for name, tensor in made.tensors().items()
    }  # fmt: skip
    made.load(drawn, made.optimizer_tensors(), 0)
    return made, hyperparameters, corpus


def stepped(made: CpuLearner, corpus: Corpus) -> tuple[Tensors, float]:
    """The gradient that one step over all documents takes off the weights, and the loss."""
    before = made.tensors()
    losses = made.train(np.arange(corpus.train.shape[0]), np.random.default_rng(5))
    after = made.tensors()
    changed = {name: before[name].double() - after[name].double() for name in before}
    return changed, losses.total_loss


def expected(
    tensors: Tensors, hyperparameters: Hyperparameters, corpus: Corpus
) -> tuple[Tensors, float]:
    p = {
        name: tensor.double().requires_grad_()
        for name, tensor in tensors.items()
        if not (name.startswith("encoder") and name.endswith(("_mean", "_var")))
    }
    x = torch.tensor(corpus.train.toarray(), dtype=torch.float64)
    noise = np.random.default_rng(5).standard_normal(
        (len(x), hyperparameters.num_topics), dtype=np.float32
    )
    recons, kld = plain_losses(p, x, torch.from_numpy(noise).double(), hyperparameters)
    loss = float(((recons + kld) / x.sum(dim=1)).mean().detach())
    gradients = torch.autograd.grad((recons + kld).sum(), list(p.values()))
    return dict(zip(p, gradients, strict=True)), loss


def assert_close(found: Tensors, wanted: Tensors) -> None:
    for name, gradient in wanted.items():
        scale = float(gradient.abs().max())
        np.testing.assert_allclose(
            found[name], gradient, rtol=1e-4, atol=3e-6 * max(1.0, scale), err_msg=name
        )


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "made anew"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_gradient_of_every_parameter_is_that_of_autograd(
    case: dict[str, Any], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kept:
        monkeypatch.setattr(layout, "KEPT_BYTES", 0)
    made, hyperparameters, corpus = learner_of(case)
    gradients, loss = expected(made.tensors(), hyperparameters, corpus)
    found, found_loss = stepped(made, corpus)
    assert found_loss == pytest.approx(loss, rel=1e-5)
    assert_close(found, gradients)


def test_logits_far_out_of_range_give_finite_losses_and_the_right_gradient() -> None:
    made, hyperparameters, corpus = learner_of({"vocabulary": 1500})
    tensors = made.tensors()
    tensors["projection_bias"][::3] += 200
    tensors["projection_bias"][1::3] -= 200
    made.load(tensors, made.optimizer_tensors(), 0)
    gradients, loss = expected(tensors, hyperparameters, corpus)
    found, found_loss = stepped(made, corpus)
    assert found_loss == pytest.approx(loss, rel=1e-5)
    assert_close(found | {"projection_bias": gradients["projection_bias"]}, gradients)


def test_documents_that_fill_up_a_batch_are_nothing_however_large_the_biases() -> None:
    made, _, corpus = learner_of({"mini_batch_size": 3, "learning_rate": 1e-6})
    tensors = made.tensors()
    tensors["projection_bias"].fill_(90)
    tensors["projection_weight"].fill_(-80)
    made.load(tensors, made.optimizer_tensors(), 0)
    _, loss = stepped(made, corpus)
    assert np.isfinite(loss)
    assert all(torch.isfinite(tensor).all() for tensor in made.tensors().values())


def test_threads_that_share_the_vocabulary_come_to_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = {"vocabulary": 2500, "mini_batch_size": 40, "learning_rate": 0.01}
    alone, _, corpus = learner_of(case)
    monkeypatch.setattr(cpu_learner, "_LEAST_SHARED", 0)
    torch.set_num_threads(3)
    try:
        shared, again = (learner_of(case)[0] for _ in range(2))
    finally:
        torch.set_num_threads(1)
    wanted, loss = stepped(alone, corpus)
    found, found_loss = stepped(shared, corpus)
    repeated, _ = stepped(again, corpus)
    assert found_loss == pytest.approx(loss, rel=1e-6)
    assert_close(found, wanted)
    assert all(torch.equal(found[name], repeated[name]) for name in found)


def test_no_buffer_grows_with_documents_times_vocabulary() -> None:
    made, _, _ = learner_of({"vocabulary": 3000, "num_topics": 40, "mini_batch_size": 700})
    largest = max(array.nbytes for array in made._work)
    assert made._work.kept.shape[0] == 0
    assert largest < layout.KEPT_BYTES < 4 * 3000 * 700


@pytest.mark.parametrize("topics", [2, 20, 100, 1000])
def test_a_block_of_the_decoder_stays_small_whatever_the_topics(topics: int) -> None:
    shape = layout.shape_of(Hyperparameters(feature_dim=100_000, num_topics=topics))
    work = layout.work_of(shape, 16, 1, training=True)
    assert work.gradient.nbytes <= 1 << 19
    assert work.gradient.shape[2] % layout.LANES == 0
