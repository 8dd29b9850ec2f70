"""How well one half of a document tells the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sparse

from ntm_ray import NTM, Corpus
from ntm_ray.corpus import bars
from ntm_ray.model import Hyperparameters, Training
from ntm_ray.model.completion import LEAST_COMPLETED, Completion
from ntm_ray.model.evaluation import batches
from ntm_ray.model.inference import ROUNDS, SIZES, Inference
from ntm_ray.model.judge import Judge
from ntm_ray.model.objectives import OBJECTIVES
from ntm_ray.model.prior import concentrations
from ntm_ray.model.variant_network import VariantNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntm_ray.corpus.counts import Counts
    from ntm_ray.model.network import Network

    Array = NDArray[np.float64]

CORPUS = bars(documents=300)
MIXED: dict[str, Any] = {
    "decoder": "mixture",
    "prior_concentration": 0.3,
    "encoder_input": "log",
    "decoder_start": "frequencies",
    "decoder_rate": 10.0,
}
USUAL: dict[str, Any] = {
    "num_topics": 10,
    "epochs": 15,
    "num_patience_epochs": 16,
    "optimizer": "adam",
    "learning_rate": 0.02,
    "mini_batch_size": 32,
}


def network_of(corpus: Corpus = CORPUS, **settings: Any) -> Network:
    return NTM(USUAL | settings).fit(corpus, seed=3, device="cpu")._ready()


def counts(*rows: Any) -> Counts:
    return sparse.csr_matrix(np.array(rows, dtype=np.float32))


def in_training(network: Network) -> Array:
    """The prior's concentrations."""
    own = network.hyperparameters.extensions
    prior = np.full(network.hyperparameters.num_topics, own.prior_concentration)
    if own.learns_prior:
        prior = concentrations(network.running["prior_mean"]).numpy()
    return prior


def refined(network: Network, x: Array, theta: Array, how: Inference) -> tuple[Array, Array]:
    """Weights and words' logarithms, in float64, all words of the vocabulary."""
    topics = network.parameters["projection_weight"].double().numpy()
    topics = np.exp(topics) / np.exp(topics).sum(axis=0)
    prior = in_training(network)
    for _ in range(how.rounds):
        shapes = how.size * prior / prior.sum()
        shapes = shapes + theta * ((x / (theta @ topics.T)) @ topics)
        theta = shapes / shapes.sum(axis=1, keepdims=True)
    return theta, np.log(theta @ topics.T)


def plain(network: Network, completion: Completion, how: Inference, rows: Any = None) -> float:
    """The same figure, written plainly; of some documents alone if so asked."""
    rows = slice(None) if rows is None else rows
    seen, judged = (
        np.asarray(part.todense(), dtype=np.float64)
        for part in (completion.seen[rows], completion.judged[rows])
    )
    (batch,) = batches(network, completion.seen[rows])
    theta = network.encoded_weights(batch).double().numpy()
    if network.hyperparameters.extensions.decoder == "mixture":
        logs = refined(network, seen, theta, how)[1]
    else:
        weight, bias = (
            network.parameters[f"projection_{part}"].double().numpy()
            for part in ("weight", "bias")
        )
        logits = theta @ weight.T + bias
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -float((judged * logs).sum() / judged.sum())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch_norm": True},
        {"encoder_input": "log", "decoder_start": "frequencies"},
        MIXED,
        MIXED | {"prior": "learned"},
        MIXED | {"prior": "learned", "refinement": 2},
        MIXED | {"prior_concentration": 0.0},
    ],
)
def test_it_is_what_its_formula_says(settings: dict[str, Any]) -> None:
    network = network_of(**settings)
    completion = Completion(CORPUS.validation, CORPUS.train.shape[0])
    how = Inference(0, 0.0)
    if network.hyperparameters.extensions.refinable:
        assert isinstance(network, VariantNetwork)
        how = network.inference or how
        assert how.size in (*SIZES, pytest.approx(in_training(network).sum()))
    assert completion.nats(network) == pytest.approx(plain(network, completion, how), rel=2e-6)


@pytest.mark.parametrize("documents", [40, 600])
@pytest.mark.parametrize("prior", ["fixed", "learned"])
def test_weights_are_inferred_in_the_way_that_completes_documents_best(
    prior: str, documents: int
) -> None:
    judged = bars(documents=documents, seed=7).train
    network = network_of(**MIXED | {"prior": prior})
    assert isinstance(network, VariantNetwork)
    completion = Completion(judged, 20 * documents)
    found = completion.inference(network)
    assert found is not None
    sizes = (*SIZES, in_training(network).sum())
    ways = [Inference(rounds, size) for rounds in range(ROUNDS + 1) for size in sizes]
    tried = completion._tried
    assert (len(tried) < completion.seen.shape[0]) == (documents == 600)
    least = min(plain(network, completion, way, tried) for way in ways)
    assert plain(network, completion, found, tried) == pytest.approx(least, rel=1e-6)


def test_documents_that_settle_it_are_drawn_from_all_of_an_ordered_corpus() -> None:
    few, many = np.full((500, 2), 4.0), np.full((500, 2), 40.0)
    few, many = np.tile(few, 20), np.tile(many, 20)
    completion = Completion(counts(*few, *many), train=20_000)
    part = (completion._tried >= completion.seen.shape[0] // 2).mean()
    assert 0.3 < part < 0.7


def test_halves_are_of_the_same_documents_and_make_them_up() -> None:
    few = counts([5, 0, 4, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 9, 0, 9.5])
    completion = Completion(few, train=100)
    whole = (completion.seen + completion.judged).toarray()
    assert whole.tolist() == [[5, 0, 4, 0], [0, 9, 0, 9.5]]
    for part in (completion.seen, completion.judged):
        assert (part.data > 0).all()
        assert (np.asarray(part.sum(axis=1)) > 0).all()
    again = Completion(few, train=100)
    assert (again.seen.toarray() == completion.seen.toarray()).all()


@pytest.mark.parametrize(
    ("train", "taken"), [(100, LEAST_COMPLETED), (20 * 700, 700), (10**6, 1200)]
)
def test_of_many_validation_documents_some_are_taken(train: int, taken: int) -> None:
    many = counts(*np.full((1200, 3), 20.0))
    assert Completion(many, train).seen.shape == (taken, 3)


def test_documents_of_one_word_have_no_other_half() -> None:
    words = counts(*np.eye(25))
    assert math.isnan(Completion(words, 100).nats(network_of(epochs=1)))


def test_a_word_that_no_topic_has_is_unlikely_and_not_impossible() -> None:
    network = network_of(**MIXED)
    network.parameters["projection_weight"][0] = -1e4
    completion = Completion(CORPUS.validation, CORPUS.train.shape[0])
    assert math.isfinite(completion.nats(network))


def test_a_model_that_knows_the_topics_tells_more_than_one_that_knows_none() -> None:
    judge = Judge(CORPUS)
    before, after = (network_of(**MIXED, epochs=n) for n in (1, 15))
    assert judge.completion(after) < judge.completion(before) - 0.1
    assert judge.measures(after)["completion"] == judge.completion(after)


@pytest.mark.parametrize("name", ["completion", "balanced"])
@pytest.mark.parametrize("settings", [{}, MIXED])
def test_epochs_are_judged_by_it_where_the_objective_is_made_of_it(
    name: str, settings: dict[str, Any]
) -> None:
    every = {"feature_dim": CORPUS.feature_dim} | USUAL | settings | {"epochs": 4}
    training = Training(Hyperparameters.parse(every), CORPUS, seed=3, objective=OBJECTIVES[name])
    while not training.finished:
        training.train_epoch()
    values = [record.metrics()["completion"] for record in training.history]
    assert len(set(values)) == 4
    best = training.best
    assert best is not None
    model = NTM.from_training(training)
    assert model.metrics["completion"] == best.metrics()["completion"]
    assert best.objective == OBJECTIVES[name].value(model.metrics, 10)


def test_an_objective_of_topics_alone_does_not_take_the_time() -> None:
    every = {"feature_dim": CORPUS.feature_dim} | USUAL | {"epochs": 1}
    training = Training(Hyperparameters.parse(every), CORPUS, seed=3, objective=OBJECTIVES["npmi"])
    assert "completion" not in training.train_epoch().metrics()
