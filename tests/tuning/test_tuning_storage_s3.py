"""Places in an object store, over a real S3 API that is slow, refuses, fails or is away."""

from __future__ import annotations

import socket
import threading
from collections import deque
from typing import TYPE_CHECKING

import pytest

from ntm_ray.errors import StorageError
from ntm_ray.tuning.storage import Place
from tests.loopback_s3 import CUT, ENVIRONMENT, LoopbackS3

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def place(s3: LoopbackS3) -> Place:
    return Place.at(s3.uri("runs/job"))


def fails_first(
    times: int, status: int, code: str
) -> Callable[[str, str], tuple[int, str] | None]:
    left = [times]

    def fault(method: str, path: str) -> tuple[int, str] | None:  # noqa: ARG001
        left[0] -= 1
        return (status, code) if left[0] >= 0 else None

    return fault


def test_files_come_back_and_are_gone_when_deleted(place: Place) -> None:
    assert not place.exists()
    assert place.names() == []
    place.delete()
    place.delete_file("nothing")
    place.delete_folder()
    place.write_bytes("file", b"first")
    place.write_bytes("file", b"second")
    (place / "folder").write_bytes("inner", b"")
    assert place.read_bytes("file") == b"second"
    assert (place / "folder").read_bytes("inner") == b""
    assert place.names() == ["file", "folder"]
    assert place.exists()
    with pytest.raises(FileNotFoundError):
        place.read_bytes("nothing")
    place.delete_file("file")
    assert place.names() == ["folder"]
    place.delete()
    assert place.names() == []


def test_a_folder_is_one_object_and_comes_back_whole(
    s3: LoopbackS3, place: Place, tmp_path: Path
) -> None:
    # More than a part of an upload, and more than one read.
    large = bytes(range(256)) * 100_000
    with (place / "0003" / "9").new_folder() as new:
        (new / "large").write_bytes(large)
        (new / "empty").write_bytes(b"")
    assert [key for key in s3.keys("runs/") if key[-1] != "/"] == ["runs/job/0003/9.tar"]
    assert (place / "0003" / "9").exists()
    assert (place / "0003").names() == ["9"]
    assert place.folders() == ["0003/9"]
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "old").touch()
    (place / "0003" / "9").get_folder(tmp_path / "here")
    assert {f.name: f.read_bytes() for f in (tmp_path / "here").iterdir()} == {
        "large": large,
        "empty": b"",
    }
    (place / "0003" / "9").delete_folder()
    assert place.folders() == []
    with pytest.raises(FileNotFoundError):
        (place / "0003" / "9").get_folder(tmp_path / "here")
    assert (tmp_path / "here" / "large").exists(), "what cannot be replaced stays"


def test_a_small_file_is_one_request_to_write_and_two_to_read(
    s3: LoopbackS3, place: Place
) -> None:
    place.write_bytes("file", bytes(1 << 20))
    assert s3.requests == ["PUT /bucket/runs/job/file"]
    s3.requests.clear()
    assert place.read_bytes("file") == bytes(1 << 20)
    assert s3.requests == ["HEAD /bucket/runs/job/file", "GET /bucket/runs/job/file"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (503, "SlowDown"),
        (503, "ServiceUnavailable"),
        (502, ""),
        (429, "TooManyRequests"),
        (CUT, ""),
    ],
)
def test_what_fails_for_the_moment_is_tried_again(
    s3: LoopbackS3, place: Place, status: int, code: str
) -> None:
    s3.fault = fails_first(3, status, code)
    place.write_bytes("file", b"content")
    s3.fault = fails_first(2, status, code)
    assert place.read_bytes("file") == b"content"
    s3.fault = fails_first(2, status, code)
    assert place.names() == ["file"]
    s3.fault = fails_first(2, status, code)
    place.delete_file("file")
    s3.fault = fails_first(0, status, code)
    assert place.names() == []


def test_storage_that_comes_back_is_used_as_if_it_had_not_been_away(
    s3: LoopbackS3, place: Place
) -> None:
    timer = s3.go_away(1.5)
    place.write_bytes("file", b"content")
    timer.join()
    assert s3.content("runs/job/file") == b"content"


def test_a_large_upload_of_which_a_part_fails_is_never_there_in_part(
    s3: LoopbackS3, place: Place
) -> None:
    large = bytes(25 << 20)
    with s3.answering(500, "InternalError", containing="partNumber=2"):
        with pytest.raises(StorageError, match="not to be reached for 0 s"):
            place.with_patience(0).write_bytes("file", large)
        assert s3.keys("runs/job/file") == []
    place.write_bytes("file", large)
    assert place.read_bytes("file") == large


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "access denied (ACCESS_DENIED"),
        (403, "InvalidAccessKeyId", "access denied (INVALID_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "access denied (SIGNATURE_DOES_NOT_MATCH"),
        (403, "ExpiredToken", "access denied (UNKNOWN (HTTP status 403)"),
        (404, "NoSuchBucket", "there is no such bucket; make it first"),
        (301, "PermanentRedirect", "the bucket is in another region"),
    ],
)
def test_what_is_refused_for_good_is_one_line_at_once(
    s3: LoopbackS3, place: Place, status: int, code: str, said: str
) -> None:
    with s3.answering(status, code), pytest.raises(StorageError) as caught:
        place.write_bytes("file", b"content")
    assert len(s3.requests) == 1, "it was tried again"
    assert str(caught.value).startswith(f"{place.uri.partition('?')[0]}/file?")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reading_and_listing_say_in_one_line_that_access_is_denied(
    s3: LoopbackS3, place: Place
) -> None:
    actions: list[Callable[[], object]] = [
        lambda: place.read_bytes("file"),
        place.names,
        place.folders,
        place.exists,
        place.delete,
        lambda: place.delete_file("file"),
    ]
    for action in actions:
        with s3.answering(403, "AccessDenied"), pytest.raises(StorageError, match="access denied"):
            action()


def test_an_endpoint_where_nobody_listens_is_one_line_when_patience_ends() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    uri = f"s3://bucket/runs?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
    with pytest.raises(StorageError, match=r"not to be reached for 0\.5 s .NETWORK_CONNECTION"):
        Place.at(uri).with_patience(0.5).write_bytes("file", b"")


def test_answers_that_take_a_second_are_waited_for(s3: LoopbackS3, place: Place) -> None:
    s3.delay = 1.2
    place.with_patience(0).write_bytes("file", b"content")
    assert place.with_patience(0).read_bytes("file") == b"content"
    assert len(s3.requests) == 3


def test_who_reads_while_a_folder_is_replaced_sees_the_old_or_the_new(
    s3: LoopbackS3, place: Place, tmp_path: Path
) -> None:
    s3.delay = 0.01
    versions = [bytes([number]) * 9_000_000 for number in range(3)]

    def put(version: bytes) -> None:
        with place.new_folder() as new:
            (new / "a").write_bytes(version)
            (new / "b").write_bytes(version)

    put(versions[0])
    writer = threading.Thread(target=lambda: deque(map(put, versions[1:])))
    writer.start()
    while writer.is_alive():
        place.get_folder(tmp_path / "here")
        first, second = ((tmp_path / "here" / name).read_bytes() for name in "ab")
        assert first == second
        assert first in versions
    writer.join()


def test_the_endpoint_may_come_from_the_environment(
    s3: LoopbackS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3.port}")
    place = Place.at("s3://bucket/runs")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    place.write_bytes("file", b"content")
    assert s3.keys() == ["runs/file"]


def test_a_google_place_is_made_without_asking_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    place = Place.at("gs://bucket/runs?anonymous=true") / "job"
    assert place.uri == "gs://bucket/runs/job?anonymous=true"
    files = place.location.file_system()  # type: ignore[union-attr]
    assert files.type_name == "gcs"
    assert Place.at("gcs://bucket/runs?anonymous=true") / "job" == place
