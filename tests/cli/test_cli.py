"""The commands that need no Ray, and how every command speaks of mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pytest

from ntm_ray.cli import main
from ntm_ray.corpus import bars
from ntm_ray.model import NTM


def ntm_ray(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, which has imported torch already."""
    out, err = StringIO(), StringIO()
    code = 0
    with (
        chdir(cwd or Path.cwd()),
        redirect_stdout(out),
        redirect_stderr(err),
        patch.object(sys, "argv", ["ntm-ray", *arguments]),
    ):
        try:
            main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "model"
    NTM(num_topics=4, epochs=1).fit(bars(documents=60), device="cpu").save(folder)
    return folder


def test_train_writes_a_model_and_says_what_it_came_to(tmp_path: Path) -> None:
    done = ntm_ray(
        *("train", "synthetic", "--num-topics", "10", "--epochs", "3", "--output", "model"),
        *("--set", "optimizer=adam", "--set", "learning_rate=0.01", "--device", "cpu"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "epoch   3" in done.stdout
    assert "unigram model" in done.stdout
    assert "ntm-ray topics model --words 20" in done.stdout
    model = NTM.load(tmp_path / "model")
    assert model.hyperparameters.optimizer == "adam"
    assert model.hyperparameters.num_topics == 10


def test_train_with_json_prints_one_object_on_standard_output(tmp_path: Path) -> None:
    done = ntm_ray("train", "synthetic", "--epochs", "2", "--json", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert [row["epoch"] for row in result["epochs"]] == [1, 2]
    assert result["baselines"]["unigram"] > 0
    assert (tmp_path / result["model"] / "model.safetensors").is_file()


def test_json_of_a_training_that_diverged_is_json(tmp_path: Path) -> None:
    rate = ("--set", "optimizer=sgd", "--set", "learning_rate=0.05", "--epochs", "10")
    for seed in range(20):
        seeded = ("--seed", str(seed), "--output", f"model-{seed}")
        done = ntm_ray("train", "synthetic", *rate, *seeded, "--json", cwd=tmp_path)
        if done.returncode == 0:
            epochs = json.loads(done.stdout, parse_constant=pytest.fail)["epochs"]
            if epochs[-1]["validation:total_loss"] is None:
                return
    pytest.fail("no training diverged after a first good epoch")


def test_a_path_that_cannot_hold_the_model_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("words")
    done = ntm_ray("train", "synthetic", "--output", "mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "mine: exists and is no model folder" in done.stderr
    assert "epoch" not in done.stdout


def test_the_seed_decides_the_model(tmp_path: Path) -> None:
    def losses(seed: str, name: str) -> list[float]:
        arguments = ("train", "synthetic", "--epochs", "2", "--seed", seed, "--json")
        done = ntm_ray(*arguments, "--output", name, cwd=tmp_path)
        return [row["validation:total_loss"] for row in json.loads(done.stdout)["epochs"]]

    assert losses("1", "a") == losses("1", "b")
    assert losses("1", "c") != losses("2", "d")


def test_topics_shows_as_many_words_as_asked(model_folder: Path) -> None:
    done = ntm_ray("topics", str(model_folder), "--words", "3", "--json")
    topics = json.loads(done.stdout)["topics"]
    assert [topic["topic"] for topic in topics] == [0, 1, 2, 3]
    for topic, words in zip(topics, NTM.load(model_folder).topics(3), strict=True):
        assert topic["words"] == words
        assert topic["probabilities"] == sorted(topic["probabilities"], reverse=True)


def test_topics_are_words_to_read_without_json(model_folder: Path) -> None:
    done = ntm_ray("topics", str(model_folder), "--words", "3")
    for words in NTM.load(model_folder).topics(3):
        assert " ".join(words) in done.stdout


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("objectives", ["validation:total_loss", "completion", "npmi", "balanced"]),
        ("search", ["random", "tpe"]),
        ("schedulers", ["asha", "none"]),
        ("spaces", ["sagemaker", "focused"]),
        ("corpora", ["docstrings", "docstrings:installed", "synthetic"]),
        ("hyperparameters", ["feature_dim", "learning_rate", "weight_decay"]),
    ],
)
def test_list_names_what_there_is(kind: str, names: list[str]) -> None:
    listed = [line.split()[0] for line in ntm_ray("list", kind).stdout.splitlines()]
    assert set(names) <= set(listed)


def test_list_alone_names_everything() -> None:
    printed = ntm_ray("list").stdout
    for title in (
        "objectives:",
        "search:",
        "schedulers:",
        "spaces:",
        "corpora:",
        "hyperparameters:",
    ):
        assert title in printed.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tune", "nowhere.tsv"), "nowhere.tsv: no such file"),
        (("tune", "docstring"), "did you mean docstrings?"),
        (("tune", "--set", "optimiser=adam"), "did you mean optimizer?"),
        (("tune", "--set", "learning_rate=2"), "learning_rate: 2.0 is not allowed"),
        (("tune", "--set", "learning_rate"), "NAME=VALUE"),
        (("tune", "--space", "sagemakr"), "did you mean 'sagemaker'?"),
        (("tune", "--search", "tpx"), "did you mean 'tpe'?"),
        (("tune", "--scheduler", "ash"), "did you mean 'asha'?"),
        (("tune", "--objective", "nmpi"), "did you mean 'npmi'?"),
        (("tune", "--keep-models-mb", "-1"), "keep_models_mb = -1.0"),
        (("tune", "--trials", "0"), "trials = 0"),
        (("tune", "--no-first-configurations", "--trials", "0"), "trials = 0"),
        (("tune", "--name", "a/b"), "name = 'a/b'"),
        (("tune", "--device", "tpu"), "device = 'tpu'"),
        (("tune", "--precision", "fp8"), "precision = 'fp8': one of float32, tf32, bf16"),
        (("tune", "--device", "cpu", "--precision", "bf16"), "on the device cpu it is float32"),
        (("tune", "--storage", "ftp://host"), "storage: ftp://host: a path, or a URI of s3://"),
        (("tune", "--validation-fraction", "2"), "validation_fraction = 2.0"),
        (("tune", "--resume", "nowhere"), "nowhere: not a job folder"),
        (("tune", "--resume", "nowhere", "--trials", "3"), "--resume"),
        (("tune", "nowhere.yaml"), "nowhere.yaml: no such file"),
        (("tune", "--num-topics", "5:x"), "--num-topics 5:x: a whole number is wanted"),
        (("tune", "--num-topics", "9:5"), "num_topics: 9:5 is no range"),
        (("tune", "--num-topics", "1:5"), "num_topics: 1:5 is no range"),
        (("tune", "--num-topics", "many"), "num_topics: 'many' is not allowed"),
        (("train", "synthetic", "--num-topics", "1"), "num_topics: 1 is not allowed"),
        (("train", "synthetic", "--max-words", "0"), "max_words = 0"),
        (("tune", "[/x]"), "[/x]: no such file"),
        (("tune", "synthetic", "--set", "feature_dim=7"), "give 25"),
        (("train", "synthetic", "--device", "cuda:99"), "cuda:99"),
        (
            ("train", "synthetic", "--device", "cpu", "--precision", "tf32"),
            "precision 'tf32' is for CUDA GPUs",
        ),
        (("topics", "nowhere"), "nowhere: is no model folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = ntm_ray(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("ntm-ray: ")
    assert message in line
    assert not list(tmp_path.iterdir()), "something was left behind"


def test_python_m_ntm_ray_is_the_same_command_with_the_same_exit_code() -> None:
    command = [sys.executable, "-m", "ntm_ray", "topics", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ntm-ray: nowhere: is no model folder")


def test_help_does_not_wait_for_torch_or_ray() -> None:
    code = (
        "import sys; from ntm_ray.cli import app\n"
        "try: app(['tune', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'ray', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
