from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from ntm_ray.model import Hyperparameters, optimizers
from ntm_ray.model import parameters as parameters_module
from ntm_ray.model.batch import Batch
from ntm_ray.model.optimizers import OPTIMIZERS, Optimizer
from ntm_ray.model.parameters import ParameterVector, WordGradient
from tests.model.plain_ntm import plain_update

SETTINGS: list[dict[str, float]] = [
    {},
    {"weight_decay": 0.5},
    {"rescale_gradient": 0.1},
    {"clip_gradient": 0.05},
    {"weight_decay": 0.5, "clip_gradient": 0.05},
]
# MXNet 1.9.1: w0 = [1, 2], gradient [0.1, -0.2] three times, learning rate 0.01, float32.
MXNET = {
    "sgd": [
        (0.9970000, 2.0060003),
        (0.9820899, 1.9761199),
        (0.9997000, 2.0006001),
        (0.9984999, 2.0014999),
        (0.9835824, 1.9716423),
    ],
    "adam": [
        (0.9699998, 2.0300000),
        (0.9700082, 1.9700060),
        (0.9700005, 2.0300000),
        (0.9699999, 2.0300000),
        (0.9699999, 1.9700000),
    ],
    "adagrad": [
        (0.9771555, 2.0228446),
        (0.9623655, 1.9928591),
        (0.9771632, 2.0228426),
        (0.9771557, 2.0228443),
        (0.9623657, 1.9928589),
    ],
    "adadelta": [
        (0.9694579, 2.0306590),
        (0.1070244, 0.2680447),
        (0.9784551, 2.0273890),
        (0.9699115, 2.0300887),
        (0.1072935, 0.2677065),
    ],
    "rmsprop": [
        (0.9262264, 2.0737736),
        (0.9269120, 1.9267374),
        (0.9262516, 2.0737677),
        (0.9262272, 2.0737729),
        (0.9262272, 1.9262272),
    ],
}
CASES = [
    pytest.param(name, setting, vector, id=f"{name}-{setting}")
    for name, vectors in MXNET.items()
    for setting, vector in zip(SETTINGS, vectors, strict=True)
]


def parameters_at_start() -> ParameterVector:
    made = ParameterVector(
        {"a_bias": (2,), "a_weight": (2,)}, dtype=torch.float32, device=torch.device("cpu")
    )
    made["a_bias"].copy_(torch.tensor([1.0, 2.0]))
    made["a_weight"].copy_(torch.tensor([1.0, 2.0]))
    return made


def optimizer_of(name: str, parameters: ParameterVector, **changes: float) -> Optimizer:
    hyperparameters = Hyperparameters.parse(
        {"feature_dim": 9, "num_topics": 2, "learning_rate": 0.01, "optimizer": name, **changes}
    )
    return OPTIMIZERS[name](parameters, hyperparameters)


def run(optimizer: Optimizer, parameters: ParameterVector, steps: int) -> None:
    for _ in range(steps):
        gradient = parameters.gradient()
        gradient["a_bias"].copy_(torch.tensor([0.1, -0.2]))
        gradient["a_weight"].copy_(torch.tensor([0.1, -0.2]))
        optimizer.step(gradient.flat)


@pytest.mark.parametrize(("name", "setting", "expected"), CASES)
def test_three_steps_end_where_mxnets_do(
    name: str, setting: dict[str, float], expected: tuple[float, float]
) -> None:
    parameters = parameters_at_start()
    run(optimizer_of(name, parameters, **setting), parameters, 3)
    torch.testing.assert_close(
        parameters["a_weight"], torch.tensor(expected), rtol=5e-7, atol=5e-7
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_biases_are_not_decayed(name: str) -> None:
    decayed, free = parameters_at_start(), parameters_at_start()
    run(optimizer_of(name, decayed, weight_decay=0.5), decayed, 3)
    run(optimizer_of(name, free), free, 3)
    torch.testing.assert_close(decayed["a_bias"], free["a_bias"], rtol=0, atol=0)
    assert not torch.equal(decayed["a_weight"], free["a_weight"])


def test_adadelta_has_no_learning_rate() -> None:
    slow, fast = parameters_at_start(), parameters_at_start()
    run(optimizer_of("adadelta", slow, learning_rate=0.0001), slow, 3)
    run(optimizer_of("adadelta", fast, learning_rate=1.0), fast, 3)
    assert torch.equal(slow.flat, fast.flat)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_from_a_saved_state(name: str) -> None:
    straight, restored = parameters_at_start(), parameters_at_start()
    run(optimizer_of(name, straight), straight, 5)
    first = optimizer_of(name, restored)
    run(first, restored, 2)
    second = optimizer_of(name, restored)
    second.load_state(first.state_tensors, first.steps)
    run(second, restored, 3)
    assert torch.equal(straight.flat, restored.flat)


VOCABULARY, WIDTH, TOPICS, STEPS = 30, 40, 4, 40
SHAPES: dict[str, tuple[int, ...]] = {
    "encoder_0_weight": (VOCABULARY, WIDTH),
    "mean_weight": (WIDTH, TOPICS),
    "mean_bias": (TOPICS,),
    "projection_weight": (VOCABULARY, TOPICS),
    "projection_bias": (VOCABULARY,),
}


@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("setting", [*SETTINGS, {"weight_decay": 0.02, "rescale_gradient": 0.1}])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_many_steps_of_a_whole_network_end_where_plain_updates_end(
    name: str, setting: dict[str, float], in_parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_parts:
        monkeypatch.setattr(parameters_module, "_PART_BYTES", 0)
        monkeypatch.setattr(optimizers, "_PIECE", 50)
    hyperparameters = Hyperparameters.parse(
        {"feature_dim": VOCABULARY, "num_topics": TOPICS, "learning_rate": 0.02,
         "optimizer": name, **setting}
    )  # fmt: skip
    parameters = ParameterVector(
        SHAPES,
        dtype=torch.float32,
        device=torch.device("cpu"),
        sparse="encoder_0_weight",
        joined=("projection_weight", "projection_bias"),
    )
    random = np.random.default_rng(1)
    for key in parameters:
        parameters[key].copy_(torch.from_numpy(random.standard_normal(SHAPES[key])))
    parameters.matrix[:, TOPICS + 1] = 1
    plain = {key: parameters[key].double() for key in parameters}
    states: dict[str, dict[str, torch.Tensor]] = {key: {} for key in plain}
    optimizer, gradient = OPTIMIZERS[name](parameters, hyperparameters), parameters.gradient()
    for step in range(1, STEPS + 1):
        counts = random.poisson(0.03 * random.integers(0, 2), size=(5, VOCABULARY))
        batch = Batch.of(
            csr_matrix(counts, dtype=np.float32),
            dtype=torch.float32,
            device=torch.device("cpu"),
            transposed=True,
        )
        d = torch.zeros(5, parameters.rows.shape[1])
        d[:, :WIDTH] = torch.from_numpy(random.standard_normal((5, WIDTH)))
        for key in gradient:
            gradient[key].copy_(torch.from_numpy(random.standard_normal(SHAPES[key])))
        gradients = {key: gradient[key].double() for key in gradient}
        gradients["encoder_0_weight"] = torch.from_numpy(counts).T.double() @ d[:, :WIDTH].double()
        for key, w in plain.items():
            plain[key] = plain_update(
                w, gradients[key], states[key], step, key.endswith("_weight"), hyperparameters
            )
        optimizer.step(gradient.flat, WordGradient(batch.for_training, d))
        gradient.flat.zero_()
    for key, expected in plain.items():
        np.testing.assert_allclose(
            parameters[key], expected.float(), rtol=5e-5, atol=5e-6, err_msg=key
        )
    assert torch.equal(parameters.matrix[:, TOPICS + 1], torch.ones(VOCABULARY))
    assert not parameters.rows[:, WIDTH:].any()
