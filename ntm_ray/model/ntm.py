"""One neural topic model, from counts to topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntm_ray.corpus.counts import canonical_counts
from ntm_ray.errors import CorpusError, HyperparameterError, NtmRayError
from ntm_ray.model.device import resolve_device
from ntm_ray.model.doctor import diagnose
from ntm_ray.model.evaluation import evaluate
from ntm_ray.model.evidence import Evidence
from ntm_ray.model.examination import examined
from ntm_ray.model.hyperparameters import Hyperparameters
from ntm_ray.model.inference import Inference
from ntm_ray.model.judge import Judge, encoded_weights, topic_weights
from ntm_ray.model.saved import SavedModel, load_model, save_model
from ntm_ray.model.topics import top_words, word_probabilities
from ntm_ray.model.training import EpochRecord, Training
from ntm_ray.model.variant_network import VariantNetwork, network_for

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    import torch
    from numpy.typing import ArrayLike, NDArray

    from ntm_ray.corpus import Corpus
    from ntm_ray.corpus.counts import Counts
    from ntm_ray.model.doctor import Finding
    from ntm_ray.model.evaluation import Losses
    from ntm_ray.model.network import Network


class NTM:
    """A neural topic model with SageMaker NTM's hyperparameters and loss.

    Example::

        model = NTM(num_topics=20, optimizer="adam", learning_rate=0.01).fit(corpus)
        model.topics()                  # the ten most probable words of each topic
        model.transform(counts)         # (documents, topics), rows sum to 1

    Args:
        settings: Hyperparameters by name, as a mapping.
        hyperparameters: The same as keywords. Only ``num_topics`` is required; ``feature_dim``
            is filled from the corpus.

    Attributes:
        history: A record of each epoch of :meth:`fit`; empty for a model that was loaded.

    Raises:
        HyperparameterError: A hyperparameter is missing, unknown or out of range.
    """

    def __init__(
        self, settings: Mapping[str, Any] | None = None, /, **hyperparameters: Any
    ) -> None:
        self._settings = {**(settings or {}), **hyperparameters}
        Hyperparameters.parse({"feature_dim": 1, **self._settings})
        self.history: list[EpochRecord] = []
        self._model: SavedModel | None = None
        self._network: Network | None = None

    def fit(
        self,
        corpus: Corpus,
        *,
        seed: int = 0,
        device: str = "auto",
        precision: str = "float32",
        on_epoch: Callable[[EpochRecord], None] | None = None,
    ) -> NTM:
        """Train on `corpus` until done, keep the parameters of the best epoch, and return self.

        Args:
            corpus: The documents; the best epoch is that of the least validation total_loss,
                or of the least training loss where there are no validation documents.
            seed: Decides initial weights, noise, shuffling and sub-sampling.
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
            precision: How matrices are multiplied in training: ``float32``, or on a CUDA GPU
                ``tf32`` or ``bf16``, which are faster and less exact.
            on_epoch: Called with each epoch's record.

        Raises:
            HyperparameterError: `feature_dim` is not the corpus's, or the first epoch diverged.
            DeviceError: This machine has no such device, or the device no such precision.
        """
        hyperparameters = Hyperparameters.parse(
            {"feature_dim": corpus.feature_dim, **self._settings}
        )
        where = str(resolve_device(device))
        training = Training(hyperparameters, corpus, seed=seed, device=where, precision=precision)
        while not training.finished:
            record = training.train_epoch()
            if on_epoch is not None:
                on_epoch(record)
        self._adopt(training, device)
        return self

    @classmethod
    def from_training(
        cls, training: Training, *, device: str = "cpu", judge: Judge | None = None
    ) -> NTM:
        """Return the model of the best epoch of a training so far.

        Args:
            training: The training.
            device: Where the model computes.
            judge: Of the training's corpus, where there is one already.

        Raises:
            HyperparameterError: No epoch had a finite loss.
        """
        model = cls(training.hyperparameters.to_json_dict())
        model._adopt(training, device, judge)
        return model

    def _adopt(self, training: Training, device: str, judge: Judge | None = None) -> None:
        if training.best is None:
            raise HyperparameterError(
                f"learning_rate: {training.hyperparameters.learning_rate} left no epoch with a "
                f"finite loss; give a smaller learning_rate or clip_gradient"
            )
        corpus = training.corpus
        network = _network(training.hyperparameters, training.best_tensors, device)
        judge = judge or Judge(corpus)
        tensors = dict(training.best_tensors)
        if isinstance(network, VariantNetwork):
            network.inference = judge.inference(network)
            tensors |= network.inference.tensors() if network.inference else {}
        weights = encoded_weights(network, judge.documents)
        self.history = list(training.history)
        self._network = network
        self._model = SavedModel(
            hyperparameters=training.hyperparameters,
            tensors=tensors,
            vocabulary=corpus.vocabulary,
            metrics={
                **training.best.metrics(),
                **judge.measures(network, weights),
                **examined(training, network, weights),
            },
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "cpu") -> NTM:
        """Read a model folder that :meth:`save` wrote.

        Raises:
            ModelFolderError: It is no model folder, or its files do not fit together.
            DeviceError: This machine has no such device.
        """
        saved = load_model(path)
        model = cls(saved.hyperparameters.to_json_dict())
        model._model = saved
        model._network = _network(saved.hyperparameters, saved.tensors, device)
        return model

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model folder `path`; an older model there is replaced as a whole.

        Raises:
            ModelFolderError: `path` is something else than a model folder.
            NtmRayError: The model is not trained.
        """
        save_model(self._trained(), path)

    @property
    def hyperparameters(self) -> Hyperparameters:
        """All 15 hyperparameters of the trained model."""
        return self._trained().hyperparameters

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The word of each column of counts."""
        return self._trained().vocabulary

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the best epoch: those of its record, of the topics, and for the doctor.

        ``kl_per_document`` is in nats, ``completion`` in nats a token; ``topic_uniqueness``,
        ``repeated_words`` (how many there are) and ``npmi`` are of the ten top words of each
        topic, ``topic_diversity`` of 25. All, and ``live_topics``, are over the validation (else
        training) documents; ``npmi`` over those of training too where there are few, see
        :class:`ntm_ray.model.judge.Judge`. What :meth:`findings` judges by besides is described in
        :class:`ntm_ray.model.Evidence`.
        """
        metrics = self._trained().metrics
        return {name: value for name, value in metrics.items() if isinstance(value, int | float)}

    @property
    def evidence(self) -> Evidence:
        """What the doctor judges the model by."""
        model = self._trained()
        return Evidence.of(model.metrics, model.hyperparameters.to_json_dict())

    def findings(self) -> list[Finding]:
        """Return what is wrong with the model and what to change; nothing for a healthy one."""
        return diagnose(self.evidence)

    @property
    def topic_word(self) -> NDArray[np.float32]:
        """Probability of each word in each topic, ``(topics, vocabulary)``; rows sum to 1."""
        return word_probabilities(self._trained().tensors["projection_weight"].numpy())

    def topics(self, words: int = 10) -> list[list[str]]:
        """Return the most probable words of each topic, most probable first."""
        model = self._trained()
        return top_words(model.tensors["projection_weight"].numpy(), model.vocabulary, words)

    def transform(self, counts: Counts | ArrayLike) -> NDArray[np.float32]:
        """Return the topic weights of documents, ``(documents, topics)``; rows sum to 1.

        They are the softmax of the posterior's mean; of mixed topics with a Dirichlet prior, what
        rounds of expectation maximisation make of that (:mod:`ntm_ray.model.inference`). A
        document without a known word gets the mean of the prior: the same weight for every topic,
        but for a prior that was learned.

        Args:
            counts: Word counts ``(documents, vocabulary)``, sparse or dense.

        Raises:
            CorpusError: The counts do not fit the vocabulary, or are negative or not finite.
        """
        rows, network = self._counts(counts), self._ready()
        result = topic_weights(network, rows)
        result[np.diff(rows.indptr) == 0] = network.prior_weights().cpu().numpy()
        return result

    def evaluate(self, counts: Counts | ArrayLike) -> Losses:
        """Return the losses of documents, nats a word, over those that have a known word.

        Args:
            counts: Word counts ``(documents, vocabulary)``, sparse or dense.

        Raises:
            CorpusError: The counts do not fit the model, or no document has a known word.
        """
        rows = self._counts(counts)
        if rows.sum() == 0:
            raise CorpusError("counts: no document has a word of the model's vocabulary")
        return evaluate(self._ready(), rows)

    def _counts(self, counts: Counts | ArrayLike) -> Counts:
        return canonical_counts(counts, len(self.vocabulary), "counts")

    def _trained(self) -> SavedModel:
        if self._model is None:
            raise NtmRayError("the NTM is not trained; call fit or NTM.load first")
        return self._model

    def _ready(self) -> Network:
        self._trained()
        assert self._network is not None
        return self._network


def _network(
    hyperparameters: Hyperparameters, tensors: Mapping[str, torch.Tensor], device: str
) -> Network:
    network = network_for(hyperparameters, device=resolve_device(device))
    network.load(tensors)
    if isinstance(network, VariantNetwork):
        network.inference = Inference.of_tensors(tensors)
    return network
