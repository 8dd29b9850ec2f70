"""The lease of a job folder: one driver at a time, and a dead one is in nobody's way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ntm_ray.errors import JobError
from ntm_ray.tuning import lease as module
from ntm_ray.tuning.lease import FILE, Lease
from ntm_ray.tuning.storage import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.loopback_s3 import LoopbackS3


@pytest.fixture(params=["disk", "object store"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, s3: LoopbackS3, monkeypatch: pytest.MonkeyPatch
) -> Place:
    # As it is, but ten times as fast.
    for name in ("BEAT_SECONDS", "STALE_SECONDS", "SURE_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(module, name, getattr(module, name) / 10)
    return Place(tmp_path) if request.param == "disk" else Place.at(s3.uri("job"))


@pytest.fixture
def held(place: Place) -> Iterator[Lease]:
    lease = Lease(place)
    lease.acquire()
    yield lease
    lease.release()


def content_of(place: Place) -> dict[str, object]:
    content: dict[str, object] = json.loads(place.read_bytes(FILE))
    return content


def test_a_lease_that_is_given_back_leaves_nothing_and_is_free_at_once(place: Place) -> None:
    for _ in range(2):
        lease = Lease(place)
        lease.acquire()
        lease.check()
        assert place.names() == [FILE]
        lease.release()
        assert place.names() == []


def test_a_second_process_is_refused_while_the_first_renews_its_lease(
    place: Place, held: Lease
) -> None:
    with pytest.raises(JobError) as caught:
        Lease(place).acquire()
    assert "another process is working on this job" in str(caught.value)
    assert "\n" not in str(caught.value)
    held.check()


def test_a_lease_that_nobody_renews_is_taken_over_after_a_while(place: Place) -> None:
    other = {"driver": "other", "beat": 3, "host": "elsewhere", "machine": "another"}
    place.write_bytes(FILE, json.dumps(other).encode())
    begun = time.monotonic()
    lease = Lease(place)
    lease.acquire()
    assert time.monotonic() - begun > module.STALE_SECONDS
    assert content_of(place)["driver"] != "other"
    lease.release()


def test_a_process_of_this_machine_that_was_killed_is_not_waited_for(place: Place) -> None:
    code = (
        "import sys, time, pickle\n"
        "from ntm_ray.tuning.lease import Lease\n"
        "lease = Lease(pickle.loads(bytes.fromhex(sys.argv[1])))\n"
        "lease.acquire()\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    import pickle

    command = [sys.executable, "-c", code, pickle.dumps(place).hex()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert content_of(place)["process"] == other.pid
        other.kill()
    lease = Lease(place)
    module.STALE_SECONDS, before = 1e9, module.STALE_SECONDS
    try:
        lease.acquire()
    finally:
        module.STALE_SECONDS = before
    assert content_of(place)["process"] != other.pid
    lease.release()


def test_who_finds_its_lease_taken_over_is_stopped_and_leaves_it_alone(
    place: Place, held: Lease
) -> None:
    place.write_bytes(FILE, b'{"driver": "other"}')
    time.sleep(1.5 * module.BEAT_SECONDS + 0.5)
    for _ in range(2):
        with pytest.raises(JobError, match="another process has taken this job over"):
            held.check()
    held.release()
    assert content_of(place) == {"driver": "other"}


def test_a_process_that_slept_looks_again_before_it_writes(
    place: Place, held: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.check()
    place.write_bytes(FILE, b'{"driver": "other"}')
    later = module._now() + 2 * module.SURE_SECONDS
    monkeypatch.setattr(module, "_now", lambda: later)
    with pytest.raises(JobError, match="taken this job over"):
        held.check()


def test_a_lease_outlives_storage_that_is_away_for_less_than_it_takes_to_be_stale(
    s3: LoopbackS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BEAT_SECONDS", "SURE_SECONDS"):
        monkeypatch.setattr(module, name, getattr(module, name) / 10)
    place = Place.at(s3.uri("job"))
    lease = Lease(place)
    lease.acquire()
    s3.go_away(3).join()
    lease.check()
    beat = content_of(place)["beat"]
    deadline = time.monotonic() + 20
    while content_of(place)["beat"] == beat:
        assert time.monotonic() < deadline, "it is renewed no more"
        time.sleep(0.1)
    lease.release()
