"""Places: folders that may be anywhere, as values."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from ntm_ray.errors import StorageError
from ntm_ray.tuning.storage import Place

if TYPE_CHECKING:
    from pathlib import Path


def test_a_path_is_a_local_place_wherever_it_is_looked_at_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Place.at("runs") / "job"
    monkeypatch.chdir("/")
    assert place.is_local
    assert place.path == tmp_path / "runs" / "job"
    assert Place.at(place.uri) == Place.at((tmp_path / "runs" / "job").as_uri()) == place


def test_a_uri_stays_what_it_was_through_pickle_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "s3://bucket/runs?endpoint_override=127.0.0.1:9000&scheme=http"
    place = Place.at(uri) / "job"
    assert place.uri == "s3://bucket/runs/job?endpoint_override=127.0.0.1:9000&scheme=http"
    assert Place.at(place.uri) == place == pickle.loads(pickle.dumps(place))
    assert place.name == "job"
    assert not place.is_local
    with pytest.raises(StorageError, match="no local path"):
        _ = place.path
    # Other nodes may not have the variable: the address goes along, but not into files.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    place = Place.at("s3://bucket/runs")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert pickle.loads(pickle.dumps(place)) != Place.at("s3://bucket/runs")
    assert place.uri == "s3://bucket/runs"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("ftp://host/runs", "s3://, gs:// or file:///"),
        ("s3:///runs", "names no bucket"),
        ("s3://key:hush@bucket/runs", "no credentials in a URI"),
        ("s3://bucket/runs?secret_key=hush", "there is no option 'secret_key'"),
        ("gs://bucket?region=x", "there is no option 'region'"),
    ],
)
def test_a_uri_that_cannot_be_is_refused_in_one_line(uri: str, reason: str) -> None:
    with pytest.raises(StorageError) as caught:
        Place.at(uri)
    assert reason in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_and_folders_of_a_local_place_are_whole_and_come_back(tmp_path: Path) -> None:
    place = Place(tmp_path / "runs" / "job")
    assert not place.exists()
    assert place.names() == []
    place.delete()
    place.write_bytes("file", b"first")
    place.write_bytes("file", b"second")
    assert place.read_bytes("file") == b"second"
    with pytest.raises(FileNotFoundError):
        place.read_bytes("nowhere")
    with (place / "folder").new_folder() as new:
        (new / "inner").write_text("inner")
    (place / "folder").get_folder(tmp_path / "copy")
    assert (tmp_path / "copy" / "inner").read_text() == "inner"
    assert place.names() == ["file", "folder"]
    place.delete()
    assert not place.exists()
