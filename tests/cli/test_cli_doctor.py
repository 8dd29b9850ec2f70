"""`ntm-ray doctor`, and what a training says at its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ntm_ray.model import DIAGNOSES
from tests.cli.test_cli import ntm_ray
from tests.model.sick_corpora import COHERENT, made, trained

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`healthy`, and `sick` of three diseases."""
    folder = tmp_path_factory.mktemp("doctor")
    trained(made(), **COHERENT).save(folder / "healthy")
    short = made(200, tokens=5, validation_fraction=0.1)
    trained(short, epochs=3, **COHERENT).save(folder / "sick")
    return folder


def test_of_a_healthy_model_one_sentence_says_so_with_its_figures(folders: Path) -> None:
    done = ntm_ray("doctor", "healthy", cwd=folders)
    assert (done.returncode, done.stderr) == (0, "")
    said = " ".join(done.stdout.split())
    assert said.startswith("Nothing is wrong that figures can tell: over 1,200 validation docume")
    assert "8 of 8 topics alive" in said


def test_of_a_sick_model_each_finding_is_said_within_80_columns(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = ntm_ray("doctor", "sick", cwd=folders)
    assert (done.returncode, done.stderr) == (0, "")
    said = " ".join(done.stdout.split())
    assert "short documents The documents are too short: half of them have at most 5" in said
    assert "Make one document of what belongs together" in said
    assert "small validation The validation set is too small to tell" in said
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_has_each_finding_in_its_parts_and_what_it_was_judged_by(folders: Path) -> None:
    said = json.loads(ntm_ray("doctor", "sick", "--json", cwd=folders).stdout)
    assert said["not_judged"] == []
    assert {finding["name"] for finding in said["findings"]} <= set(DIAGNOSES)
    assert said["warnings"] == [f"{one['wrong']} {one['change']}" for one in said["findings"]]
    assert said["evidence"]["median_tokens"] == 5
    assert json.loads(ntm_ray("doctor", "healthy", "--json", cwd=folders).stdout)["findings"] == []


def test_what_an_older_model_does_not_tell_is_said_in_one_sentence(
    folders: Path, tmp_path: Path
) -> None:
    for name in ("model.safetensors", "hyperparameters.json", "vocabulary.txt"):
        (tmp_path / name).write_bytes((folders / "healthy" / name).read_bytes())
    (tmp_path / "metrics.json").write_text('{"kl_per_document": 0.01, "topic_uniqueness": 1}')
    done = ntm_ray("doctor", ".", cwd=tmp_path)
    said = " ".join(done.stdout.split())
    assert "collapsed The posterior has collapsed: 0.010 nats a document" in said
    assert "Not judged, for want of figures in metrics.json: dead topics, one topic," in said


def test_a_wrong_path_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = ntm_ray("doctor", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "nowhere: is no model folder" in done.stderr


def test_a_training_ends_with_what_the_doctor_says(tmp_path: Path) -> None:
    collapsing = ("train", "synthetic", "--epochs", "2", "--num-topics", "8")
    done = ntm_ray(*collapsing, "--output", "model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "The posterior has collapsed" in " ".join(done.stdout.split())
    said = json.loads(ntm_ray(*collapsing, "--json", cwd=tmp_path).stdout)
    assert said["findings"][0]["name"] == "collapsed"
    assert said["warnings"][0].startswith("The posterior has collapsed")


def test_words_that_too_many_documents_share_can_be_left_out_as_the_doctor_says(
    tmp_path: Path,
) -> None:
    kinds = ["wombat one", "wombat two", "koala three", "koala four", "koala five"]
    texts = [f"kosmos {kinds[n % 5].replace(' ', ' kind')}" for n in range(60)]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    for fraction, left in (("1", {"kosmos", "wombat"}), ("0.5", {"wombat"}), ("0.3", set())):
        done = ntm_ray(
            *("train", "texts.txt", "--epochs", "1", "--num-topics", "2"),
            *("--max-document-fraction", fraction, "--output", f"model-{fraction}"),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        words = (tmp_path / f"model-{fraction}" / "vocabulary.txt").read_text().split()
        assert {"kosmos", "wombat"} & set(words) == left
