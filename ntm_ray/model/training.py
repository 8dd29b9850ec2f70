"""Training one NTM, an epoch at a time, so that a tuner can look in between."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

from ntm_ray.errors import HyperparameterError
from ntm_ray.model.cpu import CpuLearner
from ntm_ray.model.device import resolve_device
from ntm_ray.model.device_learner import DeviceLearner
from ntm_ray.model.early_stopping import EarlyStopping
from ntm_ray.model.evaluation import Losses
from ntm_ray.model.judge import Judge
from ntm_ray.model.objectives import TOTAL_LOSS, Objective
from ntm_ray.model.precision import check_precision
from ntm_ray.model.schedule import documents_an_epoch
from ntm_ray.model.variant_network import network_for

if TYPE_CHECKING:
    import torch

    from ntm_ray.corpus import Corpus
    from ntm_ray.model.hyperparameters import Hyperparameters
    from ntm_ray.model.learner import Learner

StopReason = Literal["epochs", "early_stopping", "diverged"]


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch of training came to.

    Attributes:
        epoch: Number of the epoch, from 1.
        train: Running losses of the epoch's batches, each before its step.
        validation: Losses of all validation documents after the epoch; None without any.
        seconds: Wall time of the epoch, evaluation included.
        documents_per_second: Training documents a second, evaluation left out.
        topics: What the topics are worth; see `Judge.topics`; and `completion` if the objective
            is made of it. None: nobody asked, or it diverged.
        objective: The value of the training's objective, NaN where it cannot be told; None where
            that is the loss.
    """

    epoch: int
    train: Losses
    validation: Losses | None
    seconds: float
    documents_per_second: float
    topics: dict[str, float] | None = None
    objective: float | None = None

    @property
    def loss(self) -> float:
        """Validation total_loss, or that of training without one: what decides by default."""
        return (self.validation or self.train).total_loss

    @property
    def diverged(self) -> bool:
        """Whether a loss is infinite or not a number."""
        losses = [self.train, self.validation or self.train]
        return not all(math.isfinite(one.total_loss) for one in losses)

    def metrics(self) -> dict[str, float]:
        """Return the record under SageMaker's names: ``validation:total_loss`` and so on."""
        parts = {"train": self.train, "validation": self.validation}
        return {
            "epoch": self.epoch,
            **{
                f"{part}:{name}": value
                for part, losses in parts.items()
                if losses is not None
                for name, value in asdict(losses).items()
            },
            "seconds": self.seconds,
            "documents_per_second": self.documents_per_second,
            **(self.topics or {}),
            **({} if self.objective is None else {"objective": self.objective}),
        }


class TrainingState(TypedDict):
    """All that a training goes on from: tensors (safetensors) and plain values (JSON)."""

    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]


class Training:
    """The training of one NTM on a corpus.

    The same hyperparameters, corpus, seed and number of threads give the same losses to the
    last bit on a CPU, also for a training restored half-way in another process. Another kind of
    CPU has code of its own compiled for it, which may add in another order.

    Args:
        hyperparameters: The settings; ``feature_dim`` is the corpus's vocabulary size.
        corpus: Training documents and, if there are any, validation documents.
        seed: Decides initial weights, noise, shuffling and sub-sampling.
        device: See :func:`ntm_ray.model.device.resolve_device`.
        precision: See :func:`ntm_ray.model.precision.check_precision`.
        objective: What decides which epoch is the best. Early stopping goes by the loss.
        judge: Of the corpus, where there is one already.

    Raises:
        HyperparameterError: `feature_dim` is not the size of the vocabulary.
        DeviceError: This machine has no such device, or the device no such precision.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        corpus: Corpus,
        *,
        seed: int,
        device: str = "cpu",
        precision: str = "float32",
        objective: Objective = TOTAL_LOSS,
        judge: Judge | None = None,
    ) -> None:
        if hyperparameters.feature_dim != corpus.feature_dim:
            raise HyperparameterError(
                f"feature_dim: {hyperparameters.feature_dim} is not the size of the corpus's "
                f"vocabulary; it must be {corpus.feature_dim}"
            )
        self.hyperparameters = hyperparameters
        self.corpus = corpus
        self.seed = seed
        self.objective = objective
        self._judge = (judge or Judge(corpus)) if objective.uses_topics else None
        self.history: list[EpochRecord] = []
        self.best: EpochRecord | None = None
        self.best_tensors: dict[str, torch.Tensor] = {}
        self.stop_reason: StopReason | None = None
        self._generator = np.random.default_rng(seed)
        where = resolve_device(device)
        how = check_precision(precision, where)
        self._learner: Learner = (
            CpuLearner(hyperparameters, corpus, self._generator)
            if where.type == "cpu"
            else DeviceLearner(hyperparameters, corpus, self._generator, where, precision=how)
        )
        self._early_stopping = EarlyStopping(
            hyperparameters.num_patience_epochs, hyperparameters.tolerance
        )

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train; `stop_reason` says why."""
        return self.stop_reason is not None

    def train_epoch(self) -> EpochRecord:
        """Train on each (sub-sampled) document once, then evaluate all validation documents.

        Raises:
            RuntimeError: The training has finished.
        """
        if self.finished:
            raise RuntimeError(f"the training has finished: {self.stop_reason}")
        has_validation = self.corpus.validation.shape[0] > 0
        available = self.corpus.train.shape[0]
        number = documents_an_epoch(self.hyperparameters, available)
        documents = self._generator.permutation(available)[:number]
        started = time.perf_counter()
        train = self._learner.train(documents, self._generator)
        trained = time.perf_counter()
        validation = self._learner.evaluate() if has_validation else None
        tensors = None
        ended = time.perf_counter()
        record = EpochRecord(
            epoch=self.epoch + 1,
            train=train,
            validation=validation,
            seconds=ended - started,
            documents_per_second=number / (trained - started),
        )
        if self._judge is not None:
            value = math.nan
            if not record.diverged:  # weights that are not numbers have no top words
                tensors = self._learner.tensors()
                topics = self._judge.topics(tensors["projection_weight"].numpy())
                if self.objective.uses_completion:
                    network = network_for(self.hyperparameters)
                    network.load(tensors)
                    topics["completion"] = self._judge.completion(network)
                record = replace(record, topics=topics, seconds=time.perf_counter() - started)
                value = self.objective.value(record.metrics(), self.hyperparameters.num_topics)
            record = replace(record, objective=value)
        self.history.append(record)
        if not record.diverged and (
            self.best is None or self.score(record) < self.score(self.best)
        ):
            self.best = record
            self.best_tensors = self._learner.tensors() if tensors is None else tensors
        if record.diverged:
            self.stop_reason = "diverged"
        elif self._early_stopping.update(record.loss):
            self.stop_reason = "early_stopping"
        elif self.epoch == self.hyperparameters.epochs:
            self.stop_reason = "epochs"
        return record

    def score(self, record: EpochRecord) -> float:
        """What epochs are compared by, less is better: the loss, or what the objective says."""
        if not self.objective.uses_topics:
            return record.loss
        return self.objective.score(record.objective)

    def state_dict(self) -> TrainingState:
        """Return a copy of everything that :meth:`load_state_dict` needs to go on from here."""
        groups = {
            "network": self._learner.tensors(),
            "optimizer": self._learner.optimizer_tensors(),
            "best": self.best_tensors,
        }
        return {
            "tensors": {
                f"{group}.{name}": tensor.to("cpu", copy=True)
                for group, tensors in groups.items()
                for name, tensor in tensors.items()
            },
            "values": {
                "seed": self.seed,
                "steps": self._learner.steps,
                "generator": self._generator.bit_generator.state,
                "early_stopping": self._early_stopping.state_dict(),
                "history": [asdict(record) for record in self.history],
                "best_epoch": self.best.epoch if self.best else None,
                "stop_reason": self.stop_reason,
            },
        }

    def load_state_dict(self, state: TrainingState) -> None:
        """Go on, bit for bit, from the state of a training of the same settings and corpus."""

        def group(prefix: str) -> dict[str, torch.Tensor]:
            return {
                name.removeprefix(f"{prefix}."): tensor
                for name, tensor in state["tensors"].items()
                if name.startswith(f"{prefix}.")
            }

        values = state["values"]
        self.seed = values["seed"]
        self.stop_reason = values["stop_reason"]
        self.history = [_record(**fields) for fields in values["history"]]
        best_epoch = values["best_epoch"]
        self.best = self.history[best_epoch - 1] if best_epoch else None
        self.best_tensors = {name: t.clone() for name, t in group("best").items()}
        self._generator.bit_generator.state = values["generator"]
        self._early_stopping.load_state_dict(values["early_stopping"])
        self._learner.load(group("network"), group("optimizer"), values["steps"])


def _record(
    train: dict[str, float], validation: dict[str, float] | None, **fields: Any
) -> EpochRecord:
    return EpochRecord(
        train=Losses(**train),
        validation=Losses(**validation) if validation is not None else None,
        **fields,
    )
