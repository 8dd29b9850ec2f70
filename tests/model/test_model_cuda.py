"""What only a CUDA GPU can show; elsewhere these are skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from ntm_ray.model import NTM, Training, counts_source
from ntm_ray.model.counts_source import Resident, Streamed
from ntm_ray.model.device_learner import DeviceLearner
from ntm_ray.model.evaluation import LossSum, evaluate
from ntm_ray.model.staging import Stage
from tests.model.device_training import device_training, train_curve
from tests.model.plain_ntm import plain_curve

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.corpus import Corpus
    from ntm_ray.model import EpochRecord, Losses
    from ntm_ray.model.precision import Precision

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")

OPTIMIZERS = ["sgd", "adam", "adagrad", "adadelta", "rmsprop"]
GENTLE: dict[str, Any] = {"learning_rate": 0.002, "weight_decay": 0.001, "batch_norm": True}


def losses(records: list[EpochRecord]) -> list[tuple[Losses, Losses | None]]:
    return [(record.train, record.validation) for record in records]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_graphs_give_the_curve_of_the_same_steps_one_by_one(
    corpus: Corpus, optimizer: str
) -> None:
    graph, eager = (
        device_training(corpus, device="cuda", graphs=graphs, optimizer=optimizer, **GENTLE)
        for graphs in (True, False)
    )
    found, expected = train_curve(graph, 5), train_curve(eager, 5)
    assert isinstance(graph._learner, DeviceLearner)
    assert isinstance(eager._learner, DeviceLearner)
    assert graph._learner._graph is not None
    assert eager._learner._graph is None
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_curve_is_that_of_the_plain_formulation(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, optimizer: str, activation: str
) -> None:
    noise: list[torch.Tensor] = []
    original = Stage.fill

    def watched(stage: Stage, *given: Any) -> None:
        original(stage, *given)
        shape, place = stage.shape, stage._places[1]["noise"]
        drawn = stage._floats[: len(given[0]), place].clone().cpu()
        noise.extend(drawn.view(-1, shape.documents, shape.topics))

    changes: dict[str, Any] = {
        "optimizer": optimizer,
        "encoder_layers_activation": activation,
        **GENTLE,
    }
    with monkeypatch.context() as patch:
        patch.setattr(Stage, "fill", watched)
        found = train_curve(device_training(corpus, device="cuda", **changes), 5)
    expected = plain_curve(device_training(corpus, **changes), corpus, 5, noise)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_training_twice_and_one_restored_half_way_give_the_same_bits(
    corpus: Corpus, optimizer: str, precision: Precision
) -> None:
    def made(seed: int = 0) -> Training:
        return device_training(
            corpus, seed=seed, device="cuda", precision=precision, optimizer=optimizer, **GENTLE
        )

    straight, first, restored = made(), made(), made(seed=99)
    expected = losses([straight.train_epoch() for _ in range(6)])
    begun = losses([first.train_epoch() for _ in range(3)])
    restored.load_state_dict(first.state_dict())
    assert begun + losses([restored.train_epoch() for _ in range(3)]) == expected


def test_an_epoch_has_the_host_wait_only_for_its_losses(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = device_training(corpus, device="cuda")
    run.train_epoch()  # graphs are captured in the first one
    original = LossSum.mean

    def waited(losses: LossSum) -> Losses:
        torch.cuda.set_sync_debug_mode("default")
        return original(losses)

    monkeypatch.setattr(LossSum, "mean", waited)
    train = run._learner.train

    def watched(*given: Any) -> Losses:
        torch.cuda.set_sync_debug_mode("error")
        return train(*given)

    monkeypatch.setattr(run._learner, "train", watched)
    try:
        assert run.train_epoch().train.total_loss > 0
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_corpus_that_stays_on_the_host_gives_the_same_bits(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = device_training(corpus, device="cuda")
    monkeypatch.setattr(counts_source, "_SHARE", 0)
    streamed = device_training(corpus, device="cuda")
    for run, kind in ((resident, Resident), (streamed, Streamed)):
        assert isinstance(run._learner, DeviceLearner)
        assert isinstance(run._learner._source, kind)
    assert losses([resident.train_epoch() for _ in range(3)]) == losses(
        [streamed.train_epoch() for _ in range(3)]
    )


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_lower_precision_stays_near_float32(corpus: Corpus, precision: Precision) -> None:
    expected = train_curve(device_training(corpus, device="cuda", **GENTLE), 3)
    found = train_curve(device_training(corpus, device="cuda", precision=precision, **GENTLE), 3)
    assert found == pytest.approx(expected, rel=2e-3)
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    "own", [{}, {"decoder": "mixture", "prior_concentration": 0.3, "prior": "learned"}], ids=str
)
def test_a_model_trained_there_is_the_same_on_a_cpu(
    own: dict[str, Any], corpus: Corpus, tmp_path: Path
) -> None:
    model = NTM(own, num_topics=3, optimizer="adam", epochs=3).fit(corpus, device="cuda")
    model.save(tmp_path / "model")
    on_cpu = NTM.load(tmp_path / "model", device="cpu")
    found, expected = model.transform(corpus.validation), on_cpu.transform(corpus.validation)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_validation_there_is_that_of_a_cpu(corpus: Corpus) -> None:
    run = device_training(corpus, device="cuda")
    found = run.train_epoch().validation
    there = device_training(corpus)
    there._learner.load(
        run._learner.tensors(), run._learner.optimizer_tensors(), run._learner.steps
    )
    assert isinstance(there._learner, DeviceLearner)
    expected = evaluate(there._learner._network, corpus.validation)
    assert found is not None
    assert found.total_loss == pytest.approx(expected.total_loss, rel=1e-5)
