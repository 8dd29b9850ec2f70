"""Which Ray a job works on, and what is said when it cannot."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ntm_ray.errors import JobError
from ntm_ray.tuning import TuningJob
from ntm_ray.tuning.ray_connection import ray_for


@pytest.fixture
def job(tmp_path: Path) -> TuningJob:
    return TuningJob(corpus="synthetic", storage=tmp_path / "runs", slots=1)


@pytest.mark.parametrize(
    ("address", "right"),
    [
        ("ray://head:10001", "`ntm-ray submit`"),
        ("http://head:8265", "for `ntm-ray submit`"),
        ("head", "auto or HOST:PORT"),
        ("head:port", "auto or HOST:PORT"),
    ],
)
def test_an_address_of_another_kind_is_refused_with_what_is_right(
    address: str, right: str, job: TuningJob
) -> None:
    with pytest.raises(JobError) as caught:
        job.run(address=address)
    assert right in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path(job.storage).exists()


def test_where_no_ray_answers_one_line_says_so_and_nothing_is_left_behind(job: TuningJob) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(JobError, match=f"address '127.0.0.1:{port}': no Ray answers there"):
        job.run(address=f"127.0.0.1:{port}")
    assert not Path(job.storage).exists()


def test_a_private_ray_is_started_whatever_the_environment_names_and_keeps_a_token_of_its_own(
    job: TuningJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    def authentication() -> tuple[str, str]:  # here, so that it is sent by value
        return os.environ.get("RAY_AUTH_MODE", ""), os.environ.get("RAY_AUTH_TOKEN", "")

    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with ray_for(job) as connection:
        connection.wait()
        mode, token = ray.get(ray.remote(authentication).remote())
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
    assert len(nodes) == 1
    assert mode == "token"
    assert len(token) >= 32
    assert not (tmp_path / ".ray").exists(), "a token was written where others may read it"
    assert "RAY_AUTH_TOKEN" not in os.environ
