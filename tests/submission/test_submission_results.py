"""Results on their way: whole or not at all, and nowhere but where they belong."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from ntm_ray.errors import ClusterError
from ntm_ray.submission.archive import archive_in, print_archive
from ntm_ray.submission.results import write_results

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = {
    "job.yaml": b"corpus: synthetic\n",
    "result.json": b"{}",
    "best/model.safetensors": bytes(range(256)) * 100,
    "best/metrics.json": b"{}",
}


@pytest.fixture
def printed(tmp_path: Path) -> str:
    """What a job folder is in a log, with other lines around it."""
    folder = tmp_path / "job"
    write_results(RESULTS, folder)
    (folder / "journal.jsonl").write_text("{}")
    out = io.StringIO()
    print_archive(str(folder), out)
    return f"a line of Ray's\n{out.getvalue()}another\n"


def log_of(entries: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> str:
    """A log that somebody else has made, with a checksum that fits."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.type, entry.linkname = len(content), kind, "/etc/hostname"
            archive.addfile(entry, io.BytesIO(content))
    data = buffer.getvalue()
    text = base64.b64encode(data).decode()
    begin = f"-----BEGIN NTM-RAY RESULTS {len(data)} {hashlib.sha256(data).hexdigest()}-----"
    return f"{begin}\n{text}\n-----END NTM-RAY RESULTS-----\n"


def test_results_come_through_a_log_as_they_were(printed: str) -> None:
    assert archive_in(printed) == RESULTS


def test_a_log_that_was_cut_off_or_changed_gives_nothing(printed: str) -> None:
    lines = printed.splitlines(keepends=True)
    for damaged in (
        "".join(lines[:-2]),
        "".join(lines[:3] + lines[4:]),
        printed.replace(lines[3][:20], "A" * 20),
    ):
        with pytest.raises(ClusterError):
            archive_in(damaged)


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "best/../../outside", "best/a/b", "best/.hidden", "x"]
)
def test_nothing_is_written_outside_of_the_folder_nor_what_is_no_result(
    name: str, tmp_path: Path
) -> None:
    results = archive_in(log_of(RESULTS | {name: b"x"}))
    with pytest.raises(ClusterError, match="is no result of a job"):
        write_results(results, tmp_path / "runs" / "job")
    assert not list(tmp_path.iterdir())


def test_a_link_is_no_result() -> None:
    with pytest.raises(ClusterError, match="no plain file"):
        archive_in(log_of({"job.yaml": b""}, tarfile.SYMTYPE))


def test_half_of_the_results_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"best/model\.safetensors is missing"):
        write_results({"job.yaml": b"", "result.json": b""}, tmp_path / "job")
    assert not list(tmp_path.iterdir())


def test_fetched_results_are_replaced_and_anything_else_is_left_alone(tmp_path: Path) -> None:
    write_results(RESULTS, tmp_path / "job")
    write_results(RESULTS | {"report.html": b"new"}, tmp_path / "job")
    assert (tmp_path / "job" / "report.html").read_bytes() == b"new"
    (tmp_path / "job" / "thesis.txt").write_text("words")
    with pytest.raises(ClusterError, match="holds something already"):
        write_results(RESULTS, tmp_path / "job")
    assert (tmp_path / "job" / "thesis.txt").read_text() == "words"
