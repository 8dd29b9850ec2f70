"""What a wrong address or token is answered with: one line that says what is there, or missing."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from ntm_ray.errors import ClusterError
from ntm_ray.submission.address import dashboard_url, find_dashboard
from tests.submission.head import RAYS_OWN, free_ports, home_with_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.submission.client import Client
    from tests.submission.head import Head


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who has nothing of Ray's."""
    for name in (*RAYS_OWN, "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def complaint(address: str | None) -> str:
    with pytest.raises(ClusterError) as raised:
        find_dashboard(address, pytest.fail)
    (line,) = str(raised.value).splitlines()
    return line


@contextlib.contextmanager
def something_that_answers(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.usefixtures("home")
def test_without_an_address_rays_variables_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "which cluster?" in complaint(None)
    monkeypatch.setenv("RAY_ADDRESS", "https://head:1/")
    assert dashboard_url(None) == "https://head:1"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "head")
    assert dashboard_url(None) == "http://head:8265"
    assert dashboard_url("http://other:7") == "http://other:7"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("auto", "is for `ntm-ray tune`"),
        ("ray://head:10001", "is the address of Ray Client"),
        ("http://head:port", "the port is no number"),
        ("s3://bucket", "is no address of a dashboard"),
        ("http://no.such.machine.invalid:8265", "no machine is called no.such.machine.invalid"),
    ],
)
@pytest.mark.usefixtures("home")
def test_an_address_of_another_kind_is_one_line(address: str, said: str) -> None:
    assert said in complaint(address)


@pytest.mark.usefixtures("home")
def test_where_nothing_listens_the_tunnel_that_may_be_missing_is_named() -> None:
    (port,) = free_ports(1)
    line = complaint(f"http://127.0.0.1:{port}")
    assert f"http://127.0.0.1:{port}: nothing listens there" in line
    assert "ssh -N -L 8265:127.0.0.1:8265 HEAD" in line


@pytest.mark.usefixtures("home")
def test_another_web_server_is_no_dashboard() -> None:
    for status, body in ((404, b""), (200, b"<html>"), (200, b'{"version": 1}'), (200, b"[]")):
        with something_that_answers(status, body) as url:
            assert f"something answers there (HTTP {status}), but it is no Ray" in complaint(url)


@pytest.mark.usefixtures("home")
def test_a_server_that_hangs_up_speaks_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        line = complaint(f"http://127.0.0.1:{server.getsockname()[1]}")
    assert "does not speak HTTP" in line


@pytest.mark.usefixtures("home")
def test_the_clusters_own_port_is_told_from_the_dashboards(head: Head) -> None:
    line = complaint(f"http://127.0.0.1:{head.ports['gcs']}")
    assert "does not speak HTTP; it may be the cluster's own port (GCS)" in line
    assert line.endswith("the dashboard's is http://127.0.0.1:8265")


@pytest.mark.usefixtures("home")
def test_a_missing_token_is_asked_for_and_a_wrong_one_is_named(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "the cluster wants a token; set RAY_AUTH_TOKEN_PATH" in complaint(head.url)
    home_with_token(tmp_path, "0" * 64)
    assert f"does not know this token ({tmp_path}/.ray/auth_token)" in complaint(head.url)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    assert "cannot be read: No such file" in complaint(head.url)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "1" * 64)
    line = complaint(head.url)
    assert "does not know this token (RAY_AUTH_TOKEN)" in line
    assert "1111" not in line


@pytest.mark.usefixtures("home")
def test_a_token_that_others_can_read_is_warned_of_with_what_mends_it(
    head: Head, tmp_path: Path
) -> None:
    file = home_with_token(tmp_path, head.token) / ".ray" / "auth_token"
    warnings: list[str] = []
    find_dashboard(head.url, warnings.append)
    assert warnings == []
    file.chmod(0o644)
    find_dashboard(head.url, warnings.append)
    assert warnings == [
        f"{file}: others on this machine can read the cluster's token; chmod 600 {file}"
    ]


@pytest.mark.usefixtures("home")
def test_a_token_is_used_though_ray_was_not_told_to_and_only_where_one_is_wanted(
    head: Head, tmp_path: Path
) -> None:
    home_with_token(tmp_path, head.token)
    assert "RAY_AUTH_MODE" not in os.environ
    assert head.token in find_dashboard(head.url, pytest.fail).headers["Authorization"]
    with something_that_answers(200, b'{"ray_version": "2.60.0"}') as url:
        assert find_dashboard(url, pytest.fail).headers == {}


@pytest.mark.usefixtures("home")
def test_another_ray_on_the_cluster_is_said_before_anything_is_sent(client: Client) -> None:
    with something_that_answers(200, b'{"ray_version": "2.9.3"}') as url:
        done = client.run("submit", "synthetic", address=url)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "the cluster has Ray 2.9.3, the job was submitted with Ray 2.6" in line


def test_without_the_extra_the_command_that_installs_it_is_named(client: Client) -> None:
    hidden = client.folder / "hidden"
    hidden.mkdir(exist_ok=True)
    # As if aiohttp were not installed.
    (hidden / "sitecustomize.py").write_text("import sys; sys.modules['aiohttp'] = None\n")
    path = os.pathsep.join([str(hidden), client.python_path])
    done = client.run("status", PYTHONPATH=path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.endswith("(aiohttp); pip install 'ntm-ray[cluster]'\n")


def test_a_job_that_is_not_there_is_one_line_with_those_that_are(client: Client) -> None:
    for command in ("stop", "resume"):
        done = client.run(command, "no-such-job")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "no job is called 'no-such-job'; " in line
