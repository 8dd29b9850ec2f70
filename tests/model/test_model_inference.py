"""How topic weights come from a trained model's encoder."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.torch
import torch

from ntm_ray import NTM, Corpus
from ntm_ray.errors import ModelFolderError
from ntm_ray.model.completion import Completion
from ntm_ray.model.evaluation import batches
from ntm_ray.model.inference import SHAPES, SIZES, Inference
from ntm_ray.model.mixture_decoder import MixtureDecoder
from ntm_ray.model.topics import live_topics
from ntm_ray.model.variant_network import VariantNetwork
from tests.model.test_model_completion import CORPUS, MIXED, USUAL, in_training, refined

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ntm_ray.corpus.counts import Counts


def fitted(corpus: Corpus = CORPUS, **settings: Any) -> NTM:
    return NTM(USUAL | MIXED | settings).fit(corpus, seed=3, device="cpu")


def network_of(model: NTM) -> VariantNetwork:
    network = model._ready()
    assert isinstance(network, VariantNetwork)
    return network


def encoded(model: NTM, counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """The encoder's own weights."""
    network = network_of(model)
    kept, network.inference = network.inference, None
    weights = model.transform(counts)
    network.inference = kept
    return weights


def by_torch(network: VariantNetwork, counts: Counts, how: Inference) -> NDArray[np.float32]:
    """What devices other than a CPU do."""
    (batch,), decoder = batches(network, counts), network._decoder
    assert isinstance(decoder, MixtureDecoder)
    prior = how.size * network.prior_weights()
    theta = network.encoded_weights(batch)
    weights: NDArray[np.float32] = decoder.refined(batch, theta, prior, how.rounds).numpy()
    return weights


@pytest.mark.parametrize("prior", ["fixed", "learned"])
@pytest.mark.parametrize("how", [Inference(1, 3.0), Inference(3, 1.0), Inference(0, 1.0)], ids=str)
def test_weights_are_what_rounds_make_of_the_encoders(how: Inference, prior: str) -> None:
    model = fitted(prior=prior)
    network_of(model).inference = how
    counts = CORPUS.validation.toarray()
    start = encoded(model, counts).astype(np.float64)
    plain, _ = refined(network_of(model), counts.astype(np.float64), start, how)
    np.testing.assert_allclose(model.transform(counts), plain, rtol=2e-4, atol=1e-6)
    on_others = by_torch(network_of(model), CORPUS.validation, how)
    np.testing.assert_allclose(on_others, plain, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("sizes", [SIZES, ()])
def test_weights_of_a_model_that_was_read_are_those_of_the_one_in_memory(
    sizes: tuple[float, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ntm_ray.model.completion.SIZES", sizes)
    model = fitted(prior="learned")
    model.save(tmp_path / "model")
    again = NTM.load(tmp_path / "model")
    assert network_of(again).inference == network_of(model).inference
    weights = model.transform(CORPUS.validation)
    np.testing.assert_array_equal(again.transform(CORPUS.validation), weights)
    assert np.abs(weights - encoded(model, CORPUS.validation.toarray())).max() > 0.05


@pytest.mark.parametrize(
    "settings", [{"decoder": "product"}, {"prior_concentration": 0.0}], ids=str
)
def test_other_models_give_out_the_encoders_weights(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    model = fitted(**settings)
    assert network_of(model).inference is None
    model.save(tmp_path / "model")
    tensors = safetensors.torch.load_file(tmp_path / "model" / "model.safetensors")
    assert not tensors.keys() & SHAPES.keys()
    weights = NTM.load(tmp_path / "model").transform(CORPUS.validation)
    np.testing.assert_array_equal(weights, encoded(model, CORPUS.validation.toarray()))


def test_a_model_folder_without_it_is_refused(tmp_path: Path) -> None:
    fitted(epochs=1).save(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    del tensors["inference_size"]
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(ModelFolderError, match="inference_size is missing"):
        NTM.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("inference_rounds", torch.tensor(-1), "is -1; it must be an integer from 0 to 3"),
        ("inference_rounds", torch.tensor(1.5), "is 1.5; it must be an integer from 0 to 3"),
        ("inference_rounds", torch.tensor(10**9), "is 1e+09; it must be an integer from 0 to 3"),
        ("inference_size", torch.tensor(0.0), "is 0; it must be a number above 0"),
        ("inference_size", torch.tensor(float("nan")), "is nan; it must be a number above 0"),
    ],
)
def test_a_model_folder_in_which_it_makes_no_sense_is_refused(
    name: str, value: torch.Tensor, said: str, tmp_path: Path
) -> None:
    fitted(epochs=1).save(tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    safetensors.torch.save_file(safetensors.torch.load_file(path) | {name: value}, path)
    with pytest.raises(ModelFolderError, match=re.escape(f"{path}: {name} {said}")):
        NTM.load(tmp_path / "model")


@pytest.mark.parametrize("decoder", ["mixture", "product"])
def test_a_document_without_a_known_word_gets_the_mean_of_a_prior_that_was_learned(
    decoder: str,
) -> None:
    model = fitted(prior="learned", decoder=decoder)
    prior = in_training(network_of(model))
    weights = model.transform(np.zeros((2, CORPUS.feature_dim)))
    np.testing.assert_allclose(weights, np.tile(prior / prior.sum(), (2, 1)), rtol=1e-5)
    assert np.ptp(weights[0]) > 0.001


def test_where_no_document_has_two_halves_weights_are_the_encoders(tmp_path: Path) -> None:
    words = np.tile(np.eye(CORPUS.feature_dim, dtype=np.float32), (4, 1))
    corpus = Corpus.from_counts(words, CORPUS.vocabulary)
    model = fitted(corpus, epochs=2)
    assert network_of(model).inference == Inference(0, 1.0)
    model.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "metrics.json").read_text())["epoch"] >= 1
    np.testing.assert_array_equal(
        NTM.load(tmp_path / "model").transform(words), encoded(model, words)
    )


def test_without_validation_documents_those_of_training_settle_it() -> None:
    corpus = Corpus.from_counts(CORPUS.train, CORPUS.vocabulary)
    network = network_of(fitted(corpus))
    completion = Completion(corpus.train, corpus.train.shape[0])
    assert network.inference == completion.inference(network)


def test_rounds_do_not_hide_that_a_posterior_has_collapsed() -> None:
    model = fitted(kl_weight=10, epochs=30)
    assert model.metrics["live_topics"] == 0
    assert model.metrics["largest_topic_share"] < 0.2
    network_of(model).inference = Inference(3, 1.0)
    assert live_topics(model.transform(CORPUS.validation)) > 5


def test_rounds_fit_documents_better_and_come_to_rest() -> None:
    model = fitted(prior="learned")
    network, start = network_of(model), encoded(model, CORPUS.train.toarray())
    prior = in_training(network)
    network.inference = Inference(40, float(prior.sum()))
    better = model.transform(CORPUS.train).astype(np.float64)
    x, topics = CORPUS.train.toarray().astype(np.float64), model.topic_word.astype(np.float64)

    def objective(weights: NDArray[np.float64]) -> float:
        """What rounds of expectation maximisation make greater, each of them."""
        likelihood = (x * np.log(weights @ topics)).sum()
        return float(likelihood + (prior * np.log(weights)).sum())

    assert objective(better) > objective(start.astype(np.float64)) + 1
    shapes = prior + better * ((x / (better @ topics)) @ topics.T)
    np.testing.assert_allclose(
        better, shapes / shapes.sum(axis=1, keepdims=True), rtol=0.05, atol=2e-3
    )


def test_it_is_saved_as_it_is() -> None:
    way = Inference(2, 3.0)
    tensors = way.tensors()
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == SHAPES
    assert Inference.of_tensors(tensors) == way
    assert Inference.of_tensors({"mean_bias": torch.zeros(3)}) is None
