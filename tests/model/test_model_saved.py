from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from ntm_ray.errors import ModelFolderError
from ntm_ray.model import Hyperparameters, SavedModel, load_model, save_model
from ntm_ray.model.network import Network
from ntm_ray.model.saved import FILES

WORDS = ("alpha", "", "naïve", "two words", "line\u2028separator", "last")


def model_of(seed: int = 0, words: tuple[str, ...] = WORDS) -> SavedModel:
    hyperparameters = Hyperparameters.parse(
        {"feature_dim": len(words), "num_topics": 2, "batch_norm": True}
    )
    network = Network(hyperparameters)
    network.initialise(np.random.default_rng(seed))
    return SavedModel(hyperparameters, network.tensors(), words, {"epoch": 3, "loss": 0.1 + seed})


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def assert_same(found: SavedModel, expected: SavedModel) -> None:
    assert found.hyperparameters == expected.hyperparameters
    assert found.vocabulary == expected.vocabulary
    assert found.metrics == expected.metrics
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert torch.equal(found.tensors[name], tensor)


def test_a_model_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    save_model(model_of(), tmp_path / "deep" / "model")
    assert_same(load_model(tmp_path / "deep" / "model"), model_of())
    assert names_in(tmp_path / "deep" / "model") == sorted(FILES)


def test_saving_leaves_nothing_beside_the_folder(tmp_path: Path) -> None:
    save_model(model_of(), tmp_path / "model")
    save_model(model_of(), tmp_path / "model")
    assert names_in(tmp_path) == ["model"]


def test_an_older_model_and_an_empty_folder_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    save_model(model_of(0), tmp_path / "model")
    save_model(model_of(1), tmp_path / "model")
    assert_same(load_model(tmp_path / "model"), model_of(1))


def test_a_save_that_fails_leaves_the_older_model_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(model_of(0), tmp_path / "model")
    original = Path.write_bytes

    def full_disk(path: Path, data: bytes) -> int:
        if path.name == "metrics.json":
            raise OSError(28, "No space left on device")
        return original(path, data)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(ModelFolderError, match=r"cannot be written: .*No space left on device"):
        save_model(model_of(1), tmp_path / "model")
    assert_same(load_model(tmp_path / "model"), model_of(0))
    assert names_in(tmp_path) == ["model"]


def test_a_save_that_fails_at_the_last_rename_puts_the_older_model_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(model_of(0), tmp_path / "model")
    original = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(13, "Permission denied")
        return original(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(ModelFolderError, match=r"cannot be written: .*Permission denied"):
        save_model(model_of(1), tmp_path / "model")
    assert_same(load_model(tmp_path / "model"), model_of(0))


def test_what_is_no_model_folder_is_never_overwritten(tmp_path: Path) -> None:
    save_model(model_of(), tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "metrics.json").write_text("{}")
    for name in ("model", "file", "part"):
        with pytest.raises(ModelFolderError, match=f"{name}: exists and is no model folder"):
            save_model(model_of(), tmp_path / name)
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("word", ["a\nb", "a\rb", "\n"])
def test_a_word_with_a_line_break_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(ModelFolderError, match=r"word 2 of the vocabulary, .* line break"):
        save_model(model_of(words=("a", word)), tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save_model(model_of(), tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(ModelFolderError, match=f"is no model folder: {name} missing"):
        load_model(tmp_path / "model")


def test_a_folder_that_is_not_there_is_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="nowhere: is no model folder"):
        load_model(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"\x00\x01", r"model\.safetensors: is not a safetensors file"),
        ("hyperparameters.json", b"{", r"hyperparameters\.json: is not JSON"),
        ("hyperparameters.json", b"[]", r"hyperparameters\.json: must hold one JSON object"),
        (
            "hyperparameters.json",
            b"{}",
            r"hyperparameters\.json: feature_dim: a value is required",
        ),
        ("vocabulary.txt", b"one\ntwo\n", r"has 2 words; feature_dim .* is 6"),
        ("vocabulary.txt", b"\xff\n", r"vocabulary\.txt: is not UTF-8"),
        ("metrics.json", b"\xff", r"metrics\.json: is not JSON"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    save_model(model_of(), tmp_path / "model")
    (tmp_path / "model" / name).write_bytes(content)
    with pytest.raises(ModelFolderError, match=message) as caught:
        load_model(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_tensors_must_fit_the_hyperparameters(tmp_path: Path) -> None:
    save_model(model_of(), tmp_path / "model")
    settings = model_of().hyperparameters.to_json_dict()
    path = tmp_path / "model" / "hyperparameters.json"
    path.write_text(json.dumps({**settings, "num_topics": 3}))
    with pytest.raises(ModelFolderError, match=r"encoder_0_beta is \(6,\); .* makes it \(9,\)"):
        load_model(tmp_path / "model")


def test_a_missing_and_an_unknown_tensor_are_named(tmp_path: Path) -> None:
    save_model(model_of(), tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    tensors = dict(model_of().tensors)
    safetensors.torch.save_file({**tensors, "zeta": torch.zeros(2)}, path)
    with pytest.raises(ModelFolderError, match=r"zeta is \(2,\); .* makes it unknown"):
        load_model(tmp_path / "model")
    del tensors["mean_bias"]
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(ModelFolderError, match=r"mean_bias is missing; .* makes it \(2,\)"):
        load_model(tmp_path / "model")
