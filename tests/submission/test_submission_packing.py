"""What is sent to a cluster: the package as its wheel has it, plugins, the job and its corpus."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from ray.tune.search.hyperopt import HyperOptSearch

from ntm_ray import Corpus, TuningJob
from ntm_ray.corpus.synthetic import bars
from ntm_ray.errors import ClusterError
from ntm_ray.submission import job_corpus
from ntm_ray.submission.packing import JOB_FILE, Package, objects_in, pack_job, pack_resume
from tests.submission.head import ROOT

if TYPE_CHECKING:
    from typing import Any

LISTED = "from ntm_ray.submission.distributions import this_package; print(*this_package())"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (built,) = folder.glob("*.whl")
    return built


def sent(package: Package) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(bytes(package.job[JOB_FILE]))
    return content


def bytes_of(content: Path | bytes) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def test_the_package_is_sent_as_its_wheel_holds_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {n: archive.read(n) for n in archive.namelist() if n.startswith("ntm_ray/")}
        (entry_points,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        declared = archive.read(entry_points).decode().split()
    code = pack_job(TuningJob(corpus="synthetic")).code
    assert {n: bytes_of(c) for n, c in code.items() if n.startswith("ntm_ray/")} == in_wheel
    metadata = {name.split("/")[1]: c for name, c in code.items() if ".dist-info/" in name}
    assert set(metadata) == {"METADATA", "entry_points.txt"}
    assert bytes_of(metadata["entry_points.txt"]).decode().split() == declared


def test_a_package_that_was_installed_from_a_wheel_is_sent_as_well(
    wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        in_wheel = {name for name in archive.namelist() if name.startswith("ntm_ray/")}
    done = subprocess.run(
        [sys.executable, "-c", LISTED],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {name for name in done.stdout.split() if name.startswith("ntm_ray/")} == in_wheel


def test_the_code_of_two_jobs_is_the_same_file_so_that_it_is_sent_and_compiled_once(
    tmp_path: Path,
) -> None:
    for seed in (1, 2):
        pack_job(TuningJob(corpus="synthetic", seed=seed)).write_code(tmp_path / f"{seed}.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_a_local_corpus_goes_along_with_what_is_read_beside_it(tmp_path: Path) -> None:
    for name in ("a.tsv", "vocab.txt", "other.tsv"):
        (tmp_path / name).write_text(name)
    package = pack_job(TuningJob(corpus=tmp_path / "a.tsv"))
    assert sent(package)["corpus"] == "corpus/a.tsv"
    assert set(package.job) == {"corpus/a.tsv", "corpus/vocab.txt", JOB_FILE}
    package.write_job(tmp_path / "there")
    job = TuningJob.read(tmp_path / "there" / JOB_FILE)
    assert job.corpus == str(tmp_path / "there" / "corpus" / "a.tsv")


def test_a_folder_of_texts_goes_along_without_what_is_hidden(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    for name in ("one.txt", "venv/two.txt", ".git/three.txt", "notes.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    package = pack_job(TuningJob(corpus=folder))
    assert set(package.job) == {"corpus/texts/one.txt", "corpus/texts/venv/two.txt", JOB_FILE}


@pytest.mark.parametrize("source", ["synthetic", "s3://bucket/c.tsv", "file:///mnt/c.tsv"])
def test_a_corpus_that_every_node_finds_by_itself_stays_where_it_is(source: str) -> None:
    package = pack_job(TuningJob(corpus=source))
    assert set(package.job) == {JOB_FILE}
    assert sent(package)["corpus"] == source


def test_a_corpus_that_is_too_large_is_one_line_that_points_to_shared_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert job_corpus.CORPUS_LIMIT == 80_000_000
    with (tmp_path / "large.tsv").open("wb") as file:
        file.truncate(80_000_001)  # holds nothing, and takes no room
    with pytest.raises(ClusterError) as raised:
        pack_job(TuningJob(corpus=tmp_path / "large.tsv"))
    (line,) = str(raised.value).splitlines()
    assert f"{tmp_path}/large.tsv: 80 MB is more than the 80 MB" in line
    assert "copy it to s3://..., gs://... or a path that is mounted on all nodes" in line
    monkeypatch.setattr(job_corpus, "CORPUS_LIMIT", 1000)
    with pytest.raises(ClusterError, match="made in memory"):
        pack_job(TuningJob(corpus=bars()))


def test_a_corpus_made_in_memory_and_an_object_of_rays_go_along(tmp_path: Path) -> None:
    corpus = bars(documents=50)
    job = TuningJob(corpus=corpus, search=HyperOptSearch(n_initial_points=7))
    package = pack_job(job)
    package.write_job(tmp_path)
    objects = objects_in(tmp_path)
    again = TuningJob.read(tmp_path / JOB_FILE, objects)
    assert Corpus.read(str(again.corpus)).fingerprint == corpus.fingerprint
    assert isinstance(objects["search"], HyperOptSearch)


def test_an_object_that_cannot_be_sent_is_one_line() -> None:
    class Mine(HyperOptSearch):
        """Its class is not to be found by name, so it cannot be pickled."""

    with pytest.raises(ClusterError) as raised:
        pack_job(TuningJob(corpus="synthetic", search=Mine()))
    (line,) = str(raised.value).splitlines()
    assert line.startswith("search: Ray's Mine cannot be sent to a cluster")


@pytest.mark.parametrize(
    ("storage", "folder"),
    [
        (None, "~/ntm-ray/job"),
        ("mine", "~/ntm-ray/mine/job"),
        ("~/mine/", "~/mine/job"),
        ("/mnt/shared", "/mnt/shared/job"),
        ("s3://bucket/runs", "s3://bucket/runs/job"),
        ("s3://bucket/runs?scheme=http", "s3://bucket/runs/job?scheme=http"),
    ],
)
def test_where_the_job_folder_is_on_the_cluster(storage: str | None, folder: str) -> None:
    package = pack_job(TuningJob(corpus="synthetic", name="job"), storage)
    assert package.folder == folder
    assert (sent(package)["name"], sent(package)["storage"]) == (
        "job",
        folder.replace("/job", ""),
    )
    assert pack_resume(folder).name == "job"


def test_a_plugin_that_is_not_pure_python_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "stranger-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[ntm_ray.search_algorithms]\nstrange = stranger:Mine\n"
    )
    (metadata / "RECORD").write_text("stranger/__init__.py,,\nstranger/fast.so,,\n")
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "fast.so").touch()
    (tmp_path / "stranger" / "__init__.py").write_text(
        "from ntm_ray.tuning.search.random import Random as Mine\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    job = TuningJob(corpus="synthetic", search="strange")
    with pytest.raises(ClusterError) as raised:
        pack_job(job)
    (line,) = str(raised.value).splitlines()
    assert "is not pure Python (stranger/fast.so)" in line
    assert "install stranger on every node" in line
