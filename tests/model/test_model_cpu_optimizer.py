"""The CPU's lazy optimizers, held against the plain update of every weight at every step."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch

from ntm_ray.model import Hyperparameters
from ntm_ray.model.cpu_optimizer import CpuOptimizer
from ntm_ray.model.interim.batch import Batch
from ntm_ray.model.optimizers import OPTIMIZERS
from ntm_ray.model.parameters import ParameterVector, SparseGradient
from tests.model.plain_ntm import plain_update

VOCABULARY, WIDTH, TOPICS, STEPS = 30, 6, 4, 60
SHAPES: dict[str, tuple[int, ...]] = {
    "encoder_0_weight": (VOCABULARY, WIDTH),
    "mean_weight": (WIDTH, TOPICS),
    "mean_bias": (TOPICS,),
    "projection_weight": (VOCABULARY, TOPICS),
    "projection_bias": (VOCABULARY,),
}
SETTINGS: list[dict[str, float]] = [
    {},
    {"weight_decay": 0.02},
    {"weight_decay": 0.02, "clip_gradient": 0.05},
    {"rescale_gradient": 0.1, "clip_gradient": 0.3},
]


def batch_of(random: np.random.Generator) -> Batch:
    """Five documents with about a tenth of the words, and now and then none at all."""
    dense = random.poisson(0.03 * random.integers(0, 2), size=(5, VOCABULARY))
    counts = scipy.sparse.csr_matrix(dense, dtype=np.float32)
    return Batch.of(counts, dtype=torch.float32, device=torch.device("cpu"), transposed=True)


def parameters_at_start() -> ParameterVector:
    made = ParameterVector(
        SHAPES,
        dtype=torch.float32,
        device=torch.device("cpu"),
        sparse="encoder_0_weight",
        joined=("projection_weight", "projection_bias"),
    )
    generator = torch.Generator().manual_seed(0)
    for name in made:
        made[name].copy_(torch.randn(SHAPES[name], generator=generator))
    made.matrix[:, TOPICS + 1] = 1
    return made


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_many_steps_end_where_plain_updates_of_every_row_end(
    name: str, setting: dict[str, float]
) -> None:
    hyperparameters = Hyperparameters.parse(
        {"feature_dim": VOCABULARY, "num_topics": TOPICS, "learning_rate": 0.02,
         "optimizer": name, **setting}
    )  # fmt: skip
    parameters = parameters_at_start()
    plain = {key: parameters[key].double() for key in parameters}
    states: dict[str, dict[str, torch.Tensor]] = {key: {} for key in plain}
    optimizer = CpuOptimizer(parameters, hyperparameters)
    random, gradient = np.random.default_rng(1), parameters.gradient()
    for step in range(1, STEPS + 1):
        batch = batch_of(random)
        assert batch.transposed is not None
        optimizer.prepare(batch)
        read = batch.transposed.words.long()
        torch.testing.assert_close(
            parameters["encoder_0_weight"][read],
            plain["encoder_0_weight"][read].float(),
            rtol=2e-5,
            atol=2e-6,
        )
        d = torch.zeros(len(batch), parameters.rows.shape[1])
        d[:, :WIDTH] = torch.from_numpy(random.standard_normal((len(batch), WIDTH)))
        sparse = SparseGradient(batch.transposed, d)
        for key in gradient:
            gradient[key].copy_(torch.from_numpy(random.standard_normal(SHAPES[key])))
        gradients = {key: gradient[key].double() for key in gradient}
        gradients["encoder_0_weight"] = sparse.dense(VOCABULARY)[:, :WIDTH].double()
        for key, w in plain.items():
            plain[key] = plain_update(
                w, gradients[key], states[key], step, key.endswith("_weight"), hyperparameters
            )
        optimizer.step(gradient.flat, sparse)
    optimizer.settle()
    for key, expected in plain.items():
        np.testing.assert_allclose(
            parameters[key], expected.float(), rtol=2e-5, atol=2e-6, err_msg=key
        )
    assert torch.equal(parameters.matrix[:, TOPICS + 1], torch.ones(VOCABULARY))


@pytest.mark.parametrize("name", ["sgd", "adagrad", "adadelta", "rmsprop"])
def test_a_step_leaves_rows_alone_that_no_document_reads(name: str) -> None:
    hyperparameters = Hyperparameters.parse(
        {"feature_dim": VOCABULARY, "num_topics": TOPICS, "optimizer": name, "weight_decay": 0.1}
    )
    parameters = parameters_at_start()
    optimizer = CpuOptimizer(parameters, hyperparameters)
    counts = scipy.sparse.csr_matrix(np.eye(1, VOCABULARY, 7, dtype=np.float32))
    batch = Batch.of(counts, dtype=torch.float32, device=torch.device("cpu"), transposed=True)
    assert batch.transposed is not None
    before = parameters["encoder_0_weight"].clone()
    d = torch.ones(1, parameters.rows.shape[1])
    optimizer.step(parameters.gradient().flat, SparseGradient(batch.transposed, d))
    changed = (parameters["encoder_0_weight"] != before).any(dim=1)
    assert changed.nonzero().flatten().tolist() == [7]
    optimizer.settle()
    assert (parameters["encoder_0_weight"] != before).all()
