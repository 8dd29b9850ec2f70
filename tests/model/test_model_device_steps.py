"""What a step is made of, on a device that must not be waited for: operations, shapes, buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ntm_ray.corpus import Corpus
from ntm_ray.model import Hyperparameters, decoder, optimizers, parameters
from ntm_ray.model.device_learner import DeviceLearner
from ntm_ray.model.staging import Stage, groups
from tests.model.device_training import LIVELY, OPTIMIZERS, device_training

if TYPE_CHECKING:
    from ntm_ray.model import Training
    from ntm_ray.model.precision import Precision


def shapes_in(argument: Any) -> Any:
    """An argument as it is, with the shape in the place of each tensor."""
    if isinstance(argument, torch.Tensor):
        return tuple(argument.shape), argument.stride()
    if isinstance(argument, dict):
        return {name: shapes_in(value) for name, value in argument.items()}
    if isinstance(argument, (tuple, list)):
        return [shapes_in(value) for value in argument]
    return argument


class Watched(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch publishes no types
    """Notes each operation of torch, with the shapes of its arguments, and its largest result."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[str, object]] = []
        self.largest: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations.append((str(func), shapes_in((args, kwargs))))
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple) else (result,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.largest[storage.data_ptr()] = storage.nbytes()
        return result


WAITING = (
    "_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "bincount",
    "repeat_interleave.Tensor", "aten.equal", "item",
)  # fmt: skip
"""Operations whose result only the device knows, for which a host waits."""


def operations_of(run: Training) -> list[str]:
    with Watched() as watched:
        learner = run._learner
        learner.train(np.arange(run.corpus.train.shape[0]), np.random.default_rng(0))
    return [name for name, _ in watched.operations]


def test_an_epoch_of_many_steps_waits_for_the_device_no_more_often_than_one_of_few(
    corpus: Corpus,
) -> None:
    with Watched() as watched:
        assert torch.ones(1).item() == 1
    assert "_local_scalar_dense" in watched.operations[-1][0]
    waits = []
    for size in (3, 16, 70):
        names = operations_of(device_training(corpus, mini_batch_size=size))
        waits.append([name for name in names if any(bad in name for bad in WAITING)])
    # The means of the epoch's losses, read at its end.
    assert waits[0] == waits[1] == waits[2]
    assert len(waits[0]) <= 2


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(("optimizer", "learning_rate"), OPTIMIZERS)
def test_batches_are_laid_out_and_trained_on_without_a_value_that_only_the_device_knows(
    corpus: Corpus,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: str,
    learning_rate: float,
    precision: Precision,
    activation: str,
    resident: bool,
) -> None:
    # Tensors on the device "meta" have no values: whoever asks for one fails, and so does who
    # brings a tensor of the CPU along.
    monkeypatch.setitem(decoder._TILE_BYTES, "meta", 16 * 40 * 4)
    settings = {**LIVELY, "optimizer": optimizer, "learning_rate": learning_rate}
    settings |= {"encoder_layers_activation": activation, "batch_norm": True}
    settings |= {"weight_decay": 0.01, "clip_gradient": 1.0, "rescale_gradient": 0.5}
    learner = DeviceLearner(
        Hyperparameters.parse({"feature_dim": 40, **settings}),
        corpus,
        np.random.default_rng(0),
        torch.device("meta"),
        precision=precision,
        resident=resident,
    )
    drawn: Any = None  # there is no generator of such noise
    for group in groups(np.arange(70), learner._source.lengths, learner._shape):
        with torch.inference_mode():
            stage = learner._stage_of(group.documents.shape[1], group.entries, group.regular)
            rates = learner._optimizer.rates(len(group.documents))
            stage.fill(group.documents, learner._source, rates, drawn)
            learner._step(stage)
            results = stage.results(len(group.documents))
        assert all(result.shape == (group.documents.size,) for result in results)
    with pytest.raises(RuntimeError, match="meta"):
        results[0][0].item()


@pytest.mark.parametrize(("optimizer", "learning_rate"), OPTIMIZERS)
def test_every_step_of_a_stage_is_the_same_operations_on_the_same_shapes(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, optimizer: str, learning_rate: float
) -> None:
    # What a CUDA graph asks for; the numbers that go into them must be the same, too.
    steps: list[list[tuple[str, object]]] = []
    original = DeviceLearner._step

    def watched(learner: DeviceLearner, stage: Stage) -> None:
        with Watched() as one:
            original(learner, stage)
        steps.append(one.operations)

    monkeypatch.setattr(DeviceLearner, "_step", watched)
    run = device_training(
        corpus,
        optimizer=optimizer,
        learning_rate=learning_rate,
        batch_norm=True,
        weight_decay=0.01,
        clip_gradient=1.0,
        rescale_gradient=0.5,
        mini_batch_size=14,
    )
    run.train_epoch()
    run.train_epoch()
    assert len(steps) == 10
    assert all(step == steps[0] for step in steps)


def test_no_buffer_of_a_step_but_parameters_is_larger_than_was_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vocabulary, documents, limit = 5000, 64, 1 << 18
    random = np.random.default_rng(0)
    counts = random.poisson(0.002, size=(documents, vocabulary))
    counts[:, 0] += 1
    corpus = Corpus.from_counts(
        counts, [f"word{i}" for i in range(vocabulary)], validation_fraction=0
    )
    monkeypatch.setitem(decoder._TILE_BYTES, "cpu", limit)
    monkeypatch.setattr(parameters, "_PART_BYTES", limit)
    monkeypatch.setattr(optimizers, "_PIECE", limit // 4)
    run = device_training(corpus, num_topics=40, mini_batch_size=documents)
    learner = run._learner
    assert isinstance(learner, DeviceLearner)
    learner.train(np.arange(documents), np.random.default_rng(0))
    kept = [
        learner._network.parameters.flat,
        learner._network.gradient.flat,
        *learner._optimizer.state_tensors.values(),
    ]
    known = {tensor.untyped_storage().data_ptr() for tensor in kept}
    with Watched() as watched:
        assert learner._stage is not None
        with torch.inference_mode():
            learner._stage.number.zero_()
            learner._step(learner._stage)
    largest = max(size for place, size in watched.largest.items() if place not in known)
    # Thirty-two columns of the encoder's gradient are the least that is made at a time.
    pieces = learner._stage.shape.pieces
    assert largest <= max(limit, 4 * 32 * (vocabulary + pieces + 64))
    assert largest < 4 * documents * vocabulary
