from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.torch
import torch

from ntm_ray.corpus import Corpus
from ntm_ray.errors import DeviceError, HyperparameterError
from ntm_ray.model import (
    EpochRecord,
    Hyperparameters,
    Losses,
    Training,
    TrainingState,
)
from tests.model.plain_ntm import plain_curve

if TYPE_CHECKING:
    from pathlib import Path

    import scipy.sparse
    from numpy.typing import NDArray

LIVELY: dict[str, Any] = {
    "num_topics": 3,
    "optimizer": "adam",
    "learning_rate": 0.05,
    "mini_batch_size": 16,
}


def training(corpus: Corpus, *, seed: int = 0, **changes: Any) -> Training:
    settings = {"feature_dim": corpus.feature_dim, "num_patience_epochs": 99, **LIVELY, **changes}
    return Training(Hyperparameters.parse(settings), corpus, seed=seed)


def curve(run: Training, epochs: int) -> list[tuple[Losses, Losses | None]]:
    records = [run.train_epoch() for _ in range(epochs)]
    return [(record.train, record.validation) for record in records]


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "learning_rate": 0.002, "weight_decay": 0.01},
        {"optimizer": "adam", "learning_rate": 0.02, "weight_decay": 0.01},
        {"optimizer": "adagrad", "learning_rate": 0.02, "weight_decay": 0.01},
        {"optimizer": "adadelta", "weight_decay": 0.001},
        {"optimizer": "rmsprop", "learning_rate": 0.005, "weight_decay": 0.01},
        {"optimizer": "sgd", "learning_rate": 0.05, "rescale_gradient": 0.1},
        {"optimizer": "sgd", "learning_rate": 0.2, "clip_gradient": 0.05},
        {"encoder_layers_activation": "tanh", "encoder_layers": "8", "sub_sample": 0.7},
        {"encoder_layers_activation": "relu", "batch_norm": True, "mini_batch_size": 23},
    ],
    ids=str,
)
def test_the_curve_is_that_of_the_plain_formulation(
    corpus: Corpus, changes: dict[str, Any]
) -> None:
    # 70 documents in batches of 16 or 23: the last batch has 6 documents or 1.
    run = training(corpus, **changes)
    expected = plain_curve(run, corpus, epochs=4)
    found = [run.train_epoch().train.total_loss for _ in range(4)]
    assert found == pytest.approx(expected, rel=2e-5)
    assert max(found) - min(found) > 0.005


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(
    ("optimizer", "learning_rate"),
    [("sgd", 0.002), ("adam", 0.02), ("adagrad", 0.02), ("adadelta", 1.0), ("rmsprop", 0.002)],
)
def test_five_epochs_of_any_optimizer_and_activation_are_those_of_the_plain_formulation(
    corpus: Corpus, optimizer: str, learning_rate: float, batch_norm: bool, activation: str
) -> None:
    run = training(
        corpus,
        optimizer=optimizer,
        learning_rate=learning_rate,
        batch_norm=batch_norm,
        encoder_layers_activation=activation,
        weight_decay=0.001,
        clip_gradient=2.0,
        rescale_gradient=0.5,
        mini_batch_size=14,
    )
    expected = plain_curve(run, corpus, epochs=5)
    found = [run.train_epoch().train.total_loss for _ in range(5)]
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_mapped_corpus_gives_the_same_curve(corpus: Corpus, tmp_path: Path) -> None:
    corpus.save(tmp_path / "corpus.npz")
    mapped = Corpus.load(tmp_path / "corpus.npz", memory_map=True)
    assert curve(training(mapped), 2) == curve(training(corpus), 2)


def test_the_same_seed_gives_the_same_curve_to_the_last_bit(corpus: Corpus) -> None:
    assert curve(training(corpus, seed=3), 3) == curve(training(corpus, seed=3), 3)


def test_another_seed_gives_another_curve(corpus: Corpus) -> None:
    assert curve(training(corpus, seed=3), 1) != curve(training(corpus, seed=4), 1)


def test_a_new_process_gives_the_same_curve_to_the_last_bit(
    corpus: Corpus, tmp_path: Path
) -> None:
    corpus.save(tmp_path / "corpus.npz")
    program = f"""
import torch
torch.set_num_threads({torch.get_num_threads()})
from ntm_ray.corpus import Corpus
from ntm_ray.model import Hyperparameters, Training
corpus = Corpus.load({str(tmp_path / "corpus.npz")!r})
settings = {{"feature_dim": corpus.feature_dim, "num_patience_epochs": 99, **{LIVELY!r}}}
run = Training(Hyperparameters.parse(settings), corpus, seed=0)
print([run.train_epoch().loss.hex() for _ in range(3)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    run = training(corpus)
    assert done.stdout.strip() == str([run.train_epoch().loss.hex() for _ in range(3)])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adagrad", "adadelta", "rmsprop"])
def test_a_training_restored_half_way_goes_on_bit_for_bit(
    corpus: Corpus, tmp_path: Path, optimizer: str
) -> None:
    changes: dict[str, Any] = {
        "optimizer": optimizer,
        "batch_norm": True,
        "sub_sample": 0.7,
        "learning_rate": 0.01,
    }
    straight, first = training(corpus, **changes), training(corpus, **changes)
    expected = curve(straight, 6)
    begun = curve(first, 3)
    state = first.state_dict()
    first.train_epoch()  # must not reach into the state that was taken
    safetensors.torch.save_file(state["tensors"], tmp_path / "tensors")
    restored = training(corpus, seed=99, **changes)
    restored.load_state_dict(
        TrainingState(
            tensors=safetensors.torch.load_file(tmp_path / "tensors"),
            values=json.loads(json.dumps(state["values"])),
        )
    )
    assert restored.epoch == 3
    assert begun + curve(restored, 3) == expected
    assert restored.best is not None
    assert straight.best is not None
    assert restored.best.epoch == straight.best.epoch
    for name, tensor in straight.best_tensors.items():
        assert torch.equal(tensor, restored.best_tensors[name])


def documents_trained_on(run: Training, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    original = run._learner.train

    def watched(documents: NDArray[np.int64], generator: np.random.Generator) -> Losses:
        seen.extend(documents.tolist())
        return original(documents, generator)

    with monkeypatch.context() as patch:
        patch.setattr(run._learner, "train", watched)
        run.train_epoch()
    return seen


def test_every_document_is_trained_on_once_an_epoch_in_another_order(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training(corpus)
    first, second = (documents_trained_on(run, monkeypatch) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(70))
    assert first != second


def test_sub_sampling_draws_other_documents_each_epoch(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training(corpus, sub_sample=0.5)
    first, second = (documents_trained_on(run, monkeypatch) for _ in range(2))
    assert len(first) == len(second) == 35
    assert sorted(first) != sorted(second)


def test_a_sub_sample_of_nothing_still_trains_on_one_document(corpus: Corpus) -> None:
    record = training(corpus, sub_sample=0.0).train_epoch()
    assert np.isfinite(record.train.total_loss)


def test_read_only_arrays_are_trained_on_without_a_warning(
    corpus: Corpus, recwarn: pytest.WarningsRecorder
) -> None:
    def frozen(matrix: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
        copy = matrix.copy()
        for array in (copy.data, copy.indices, copy.indptr):
            array.flags.writeable = False
        return copy

    shared = replace(corpus, train=frozen(corpus.train), validation=frozen(corpus.validation))
    assert curve(training(shared, mini_batch_size=70), 2) == curve(
        training(corpus, mini_batch_size=70), 2
    )
    assert not recwarn.list


def test_without_validation_documents_the_training_loss_decides(corpus: Corpus) -> None:
    alone = Corpus.from_counts(corpus.train, corpus.vocabulary, validation_fraction=0)
    run = training(alone, epochs=3)
    records = [run.train_epoch() for _ in range(3)]
    assert all(record.validation is None for record in records)
    assert records[0].loss == records[0].train.total_loss
    assert "validation:total_loss" not in records[0].metrics()
    assert run.best == min(records, key=lambda record: record.loss)


def test_training_ends_after_its_epochs(corpus: Corpus) -> None:
    run = training(corpus, epochs=2)
    run.train_epoch()
    assert not run.finished
    run.train_epoch()
    assert run.finished
    assert run.stop_reason == "epochs"
    with pytest.raises(RuntimeError, match="finished: epochs"):
        run.train_epoch()


def test_training_stops_early_on_a_flat_curve(corpus: Corpus) -> None:
    run = training(corpus, learning_rate=1e-6, num_patience_epochs=2, epochs=50)
    while not run.finished:
        run.train_epoch()
    assert run.stop_reason == "early_stopping"
    assert run.epoch == 5


def test_a_diverged_epoch_ends_training_and_is_never_the_best(corpus: Corpus) -> None:
    run = training(corpus)
    good = run.train_epoch()
    learner = run._learner
    broken = learner.tensors() | {"mean_bias": torch.full((LIVELY["num_topics"],), float("nan"))}
    learner.load(broken, learner.optimizer_tensors(), learner.steps)
    assert run.train_epoch().diverged
    assert run.finished
    assert run.stop_reason == "diverged"
    assert run.best == good
    assert all(torch.isfinite(tensor).all() for tensor in run.best_tensors.values())


def test_a_loss_that_is_not_finite_in_either_partition_is_divergence() -> None:
    fine, broken = Losses(7.0, 6.9, 0.1), Losses(float("inf"), 6.9, float("inf"))
    assert not EpochRecord(1, fine, fine, 1.0, 1.0).diverged
    assert not EpochRecord(1, fine, None, 1.0, 1.0).diverged
    assert EpochRecord(1, broken, fine, 1.0, 1.0).diverged
    assert EpochRecord(1, fine, broken, 1.0, 1.0).diverged


def test_the_best_epoch_is_the_least_validation_loss_and_its_parameters_are_kept(
    corpus: Corpus,
) -> None:
    run = training(corpus, learning_rate=0.2, epochs=12)
    kept: dict[int, dict[str, torch.Tensor]] = {}
    while not run.finished:
        record = run.train_epoch()
        kept[record.epoch] = run._learner.tensors()
    best = min(run.history, key=lambda record: record.loss)
    assert best.epoch < 12, "the curve must turn for this test to say anything"
    assert run.best == best
    for name, tensor in kept[best.epoch].items():
        assert torch.equal(run.best_tensors[name], tensor)


def test_metrics_carry_sagemakers_names(corpus: Corpus) -> None:
    record = training(corpus).train_epoch()
    assert list(record.metrics()) == [
        "epoch",
        *(f"train:{name}" for name in ("total_loss", "recons_loss", "kld")),
        *(f"validation:{name}" for name in ("total_loss", "recons_loss", "kld")),
        "seconds",
        "documents_per_second",
    ]


def test_a_feature_dim_that_is_not_the_corpuss_is_refused(corpus: Corpus) -> None:
    with pytest.raises(HyperparameterError, match=r"^feature_dim: 41 .* must be 40$"):
        training(corpus, feature_dim=41)


def test_a_device_that_is_not_there_is_refused(corpus: Corpus) -> None:
    with pytest.raises(DeviceError):
        Training(
            Hyperparameters.parse({"feature_dim": 40, "num_topics": 3}),
            corpus,
            seed=0,
            device="cuda:99",
        )
