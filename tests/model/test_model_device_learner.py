"""The learner of accelerators on a CPU; what needs CUDA is in test_model_cuda."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy.sparse import csr_matrix

from ntm_ray.corpus import Corpus
from ntm_ray.model import (
    TrainingState,
    counts_source,
    decoder,
    optimizers,
    parameters,
    staging,
)
from ntm_ray.model.counts_source import Resident, Streamed
from ntm_ray.model.device_learner import DeviceLearner
from ntm_ray.model.evaluation import evaluate
from ntm_ray.model.staging import Shape, Stage
from tests.model.device_training import OPTIMIZERS, device_training, recorded_noise, train_curve
from tests.model.plain_ntm import plain_curve

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.model import Training


def assert_plain(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, epochs: int = 5, **changes: Any
) -> None:
    with recorded_noise(monkeypatch) as noise:
        found = train_curve(device_training(corpus, **changes), epochs)
    expected = plain_curve(device_training(corpus, **changes), corpus, epochs, noise)
    assert found == pytest.approx(expected, rel=1e-4)
    assert max(found) - min(found) > 0.002


# 70 documents: in batches of 16 the last one has 6; with 14 there is no other.
@pytest.mark.parametrize("size", [14, 16])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("optimizer", "learning_rate"), OPTIMIZERS)
def test_five_epochs_of_any_optimizer_and_activation_are_those_of_the_plain_formulation(
    corpus: Corpus,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: str,
    learning_rate: float,
    batch_norm: bool,
    activation: str,
    size: int,
) -> None:
    assert_plain(
        corpus,
        monkeypatch,
        optimizer=optimizer,
        learning_rate=learning_rate,
        batch_norm=batch_norm,
        encoder_layers_activation=activation,
        weight_decay=0.001,
        clip_gradient=2.0,
        rescale_gradient=0.5,
        mini_batch_size=size,
    )


def stage_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Room for batches, documents of a batch and batches done, of each group from now on."""
    sizes: list[tuple[int, int, int]] = []
    original = Stage.results

    def watched(stage: Stage, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        sizes.append((stage.shape.batches, stage.shape.documents, number))
        return original(stage, number)

    monkeypatch.setattr(Stage, "results", watched)
    return sizes


def test_batches_too_large_for_the_regular_shape_are_trained_on_one_by_one(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = np.diff(corpus.train.indptr).astype(np.int64)
    likely = int(np.median([lengths[i : i + 10].sum() for i in range(0, 70, 10)]))
    monkeypatch.setattr(Shape, "regular", lambda *_: Shape(3, 10, likely, 40, 3))
    sizes = stage_sizes(monkeypatch)
    assert_plain(corpus, monkeypatch, mini_batch_size=10)
    assert {(1, 10, 1), (3, 10, 1), (3, 10, 2)} <= set(sizes)
    assert sum(size[2] for size in sizes) == 5 * 7


def test_little_room_lays_out_batch_by_batch(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_STAGE_BYTES", 0)
    sizes = stage_sizes(monkeypatch)
    assert_plain(corpus, monkeypatch, optimizer="adam", learning_rate=0.02)
    assert sizes == [*[(1, 16, 1)] * 4, (1, 6, 1)] * 5


def test_a_mini_batch_larger_than_the_corpus_is_all_of_it(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = stage_sizes(monkeypatch)
    assert_plain(corpus, monkeypatch, mini_batch_size=500)
    assert sizes == [(1, 70, 1)] * 5


def test_a_sub_sample_smaller_than_a_mini_batch_is_trained_on(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_plain(corpus, monkeypatch, sub_sample=0.3, mini_batch_size=32)


def test_small_buffers_change_nothing_but_rounding(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train_curve(device_training(corpus, weight_decay=0.01), 3)
    monkeypatch.setitem(decoder._TILE_BYTES, "cpu", 5 * 40 * 4)
    monkeypatch.setattr(parameters, "_PART_BYTES", 0)
    monkeypatch.setattr(optimizers, "_PIECE", 100)
    found = train_curve(device_training(corpus, weight_decay=0.01), 3)
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_corpus_that_stays_on_the_host_gives_the_same_bits(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    resident = device_training(corpus)
    corpus.save(tmp_path / "corpus.npz")
    mapped = Corpus.load(tmp_path / "corpus.npz", memory_map=True)
    monkeypatch.setattr(counts_source, "_SHARE", 0)
    streamed = device_training(mapped)
    for run, kind in ((resident, Resident), (streamed, Streamed)):
        assert isinstance(run._learner, DeviceLearner)
        assert isinstance(run._learner._source, kind)
    for _ in range(3):
        one, other = resident.train_epoch(), streamed.train_epoch()
        assert (one.train, one.validation) == (other.train, other.validation)


def test_documents_without_a_word_are_trained_on_and_count_for_nothing(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = corpus.train.toarray()
    counts[::3] = 0
    run = device_training(corpus, mini_batch_size=14)
    learner = run._learner
    assert isinstance(learner, DeviceLearner)
    learner._source = Resident(csr_matrix(counts), torch.device("cpu"))
    with recorded_noise(monkeypatch) as noise:
        found = run.train_epoch().train
    assert len(noise) == 5
    assert np.isfinite(found.total_loss)
    assert all(torch.isfinite(tensor).all() for tensor in learner.tensors().values())


def test_validation_losses_are_those_of_evaluate_at_every_epoch(corpus: Corpus) -> None:
    run = device_training(corpus, batch_norm=True)
    for _ in range(3):
        found = run.train_epoch().validation
        assert isinstance(run._learner, DeviceLearner)
        assert found == evaluate(run._learner._network, corpus.validation)


def bits(run: Training, epochs: int) -> list[object]:
    records = [run.train_epoch() for _ in range(epochs)]
    return [(record.train, record.validation) for record in records]


@pytest.mark.parametrize(("optimizer", "learning_rate"), OPTIMIZERS)
def test_a_training_twice_and_one_restored_half_way_give_the_same_bits(
    corpus: Corpus, tmp_path: Path, optimizer: str, learning_rate: float
) -> None:
    changes: dict[str, Any] = {
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "batch_norm": True,
        "sub_sample": 0.8,
    }
    expected = bits(device_training(corpus, **changes), 6)
    first = device_training(corpus, **changes)
    begun = bits(first, 3)
    state = first.state_dict()
    first.train_epoch()  # must not reach into the state that was taken
    safetensors.torch.save_file(state["tensors"], tmp_path / "tensors")
    restored = device_training(corpus, seed=99, **changes)
    restored.load_state_dict(
        TrainingState(
            tensors=safetensors.torch.load_file(tmp_path / "tensors"),
            values=json.loads(json.dumps(state["values"])),
        )
    )
    assert begun + bits(restored, 3) == expected


@pytest.mark.parametrize(("optimizer", "learning_rate"), OPTIMIZERS)
def test_steps_that_are_tried_out_leave_no_trace(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, optimizer: str, learning_rate: float
) -> None:
    changes: dict[str, Any] = {
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "batch_norm": True,
    }
    expected = bits(device_training(corpus, **changes), 3)
    original = DeviceLearner._do

    def first_tried_out(learner: DeviceLearner, stage: Stage, number: int) -> None:
        with learner._undone(stage):
            learner._step(stage)
            assert stage.number == 1
        original(learner, stage, number)

    monkeypatch.setattr(DeviceLearner, "_do", first_tried_out)
    assert bits(device_training(corpus, **changes), 3) == expected


@pytest.mark.parametrize(("optimizer", "learning_rate"), OPTIMIZERS)
def test_what_fills_up_rows_never_changes(
    corpus: Corpus, optimizer: str, learning_rate: float
) -> None:
    run = device_training(
        corpus,
        optimizer=optimizer,
        learning_rate=learning_rate,
        weight_decay=0.01,
        mini_batch_size=2,
    )
    train_curve(run, 3)
    learner = run._learner
    assert isinstance(learner, DeviceLearner)
    parameters = learner._network.parameters
    topics, width = 3, parameters["encoder_0_weight"].shape[1]
    assert torch.equal(parameters.matrix[:, topics + 1], torch.ones(40))
    assert not parameters.matrix[:, topics + 2 :].any()
    assert not parameters.rows[:, width:].any()


def test_another_seed_gives_another_curve(corpus: Corpus) -> None:
    assert bits(device_training(corpus, seed=1), 1) != bits(device_training(corpus, seed=2), 1)


def test_bf16_products_stay_near_those_in_float32(corpus: Corpus) -> None:
    changes: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.002}
    expected = train_curve(device_training(corpus, **changes), 3)
    found = train_curve(device_training(corpus, precision="bf16", **changes), 3)
    assert found != expected
    assert found == pytest.approx(expected, rel=2e-3)
