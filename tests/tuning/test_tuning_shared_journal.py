"""The journal of a job in an object store: what is synced is there, once and in order."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ntm_ray.errors import JobError, StorageError
from ntm_ray.tuning import segments as segments_module
from ntm_ray.tuning import shared_journal as module
from ntm_ray.tuning.lease import FILE, Lease
from ntm_ray.tuning.segments import Segments
from ntm_ray.tuning.shared_journal import SharedJournal
from ntm_ray.tuning.storage import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.loopback_s3 import LoopbackS3


@pytest.fixture
def place(s3: LoopbackS3) -> Place:
    return Place.at(s3.uri("job")).with_patience(20)


@pytest.fixture
def lease(place: Place) -> Iterator[Lease]:
    lease = Lease(place)
    lease.acquire()
    yield lease
    lease.release()


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing follows unless it is waited for."""
    monkeypatch.setattr(module, "COMMIT_SECONDS", 1e6)


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {"event": "report", "number": number, "time": number} | fields


def stored(place: Place) -> list[int]:
    content = Segments(place / "journal").read()
    assert content.endswith(b"\n") or not content
    return [json.loads(line)["number"] for line in content.splitlines()]


def opened(tmp_path: Path, place: Place, lease: Lease) -> SharedJournal:
    segments = Segments(place / "journal")
    segments.read()
    return SharedJournal(tmp_path / "journal.jsonl", segments, lease)


@pytest.mark.usefixtures("seldom")
def test_what_is_synced_is_there_in_one_request_and_the_rest_is_when_it_is_closed(
    s3: LoopbackS3, tmp_path: Path, place: Place, lease: Lease
) -> None:
    journal = opened(tmp_path, place, lease)
    for number in range(50):
        journal.append(event(number))
    assert stored(place) == []
    before = [request for request in s3.requests if "PUT /bucket/job/journal" in request]
    journal.sync()
    after = [request for request in s3.requests if "PUT /bucket/job/journal" in request]
    assert len(after) - len(before) == 1
    assert stored(place) == list(range(50))
    journal.sync()
    journal.append(event(50))
    journal.close()
    assert stored(place) == list(range(51))
    journal.sync()


def test_what_nobody_waits_for_follows_by_itself(
    tmp_path: Path, place: Place, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMIT_SECONDS", 0.1)
    journal = opened(tmp_path, place, lease)
    for number in range(3):
        journal.append(event(number))
        waited = threading.Event()
        for _ in range(300):
            if stored(place) == list(range(number + 1)):
                break
            waited.wait(0.05)
        assert stored(place) == list(range(number + 1))
    journal.close()


def test_segments_are_few_and_none_is_written_after_it_is_full(
    tmp_path: Path, place: Place, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments_module, "SEGMENT_BYTES", 1000)
    journal = opened(tmp_path, place, lease)
    for number in range(100):
        journal.append(event(number, text="x" * 20))
        journal.sync()
    journal.close()
    size = (tmp_path / "journal.jsonl").stat().st_size
    names = (place / "journal").names()
    assert 2 < len(names) <= size / 1000 + 1
    assert stored(place) == list(range(100))
    # Gone on with, by another process, it is the same journal.
    journal = opened(tmp_path, place, lease)
    journal.append(event(100))
    journal.close()
    assert stored(place) == list(range(101))
    assert (place / "journal").names()[: len(names)] == names


@pytest.mark.usefixtures("seldom")
def test_what_a_killed_process_had_written_here_but_not_there_follows(
    tmp_path: Path, place: Place, lease: Lease
) -> None:
    journal = opened(tmp_path, place, lease)
    journal.append(event(0))
    journal.sync()
    journal.close()
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b"".join(json.dumps(event(number)).encode() + b"\n" for number in (1, 2)))
        file.write(b'{"event": "cut')
    journal = opened(tmp_path, place, lease)
    journal.sync()
    assert stored(place) == [0, 1, 2]
    assert [one["number"] for one in journal.read()] == [0, 1, 2]
    journal.append(event(3))
    journal.close()
    assert stored(place) == [0, 1, 2, 3]


def test_a_missing_segment_is_named(place: Place) -> None:
    folder = place / "journal"
    folder.write_bytes("000000000000.jsonl", b'{"event": 1}\n')
    folder.write_bytes("000000000099.jsonl", b'{"event": 2}\n')
    with pytest.raises(JobError, match=r"13 bytes before the segment 000000000099\.jsonl"):
        Segments(folder).read()


def test_waiting_outlasts_storage_that_is_away(
    s3: LoopbackS3, tmp_path: Path, place: Place, lease: Lease
) -> None:
    journal = opened(tmp_path, place, lease)
    timer = s3.go_away(2)
    journal.append(event(0))
    journal.sync()
    timer.join()
    assert stored(place) == [0]
    journal.close()


def test_storage_that_refuses_for_good_is_said_to_whoever_waits_and_keeps_what_is_here(
    s3: LoopbackS3, tmp_path: Path, place: Place, lease: Lease
) -> None:
    journal = opened(tmp_path, place, lease)
    with s3.answering(403, "AccessDenied", containing="journal"):
        journal.append(event(0))
        with pytest.raises(StorageError, match="access denied"):
            journal.sync()
        with pytest.raises(StorageError, match="access denied"):
            journal.append(event(1))
        journal.close()
    assert stored(place) == []
    journal = opened(tmp_path, place, lease)
    journal.close()
    assert stored(place) == [0]


@pytest.mark.usefixtures("seldom")
def test_nothing_is_written_once_another_process_has_taken_the_job_over(
    tmp_path: Path, place: Place, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ntm_ray.tuning import lease as lease_module

    journal = opened(tmp_path, place, lease)
    journal.append(event(0))
    journal.sync()
    place.write_bytes(FILE, b'{"driver": "other"}')
    monkeypatch.setattr(lease_module, "SURE_SECONDS", -1)  # it looks each time
    journal.append(event(1))
    with pytest.raises(JobError, match="another process has taken this job over"):
        journal.sync()
    journal.close()
    assert stored(place) == [0]
