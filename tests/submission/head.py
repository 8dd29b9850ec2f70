"""A real head with dashboard and token on loopback, and what stands between it and a client."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

ROOT = Path(__file__).parents[2]
RAYS_OWN = {"RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}
# A range of its own, below those that systems take ephemeral ports from.
_WORKER_PORTS = (24200, 24500)


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a process whose user has this home, and nothing of Ray's."""
    kept = {name: value for name, value in os.environ.items() if name not in RAYS_OWN}
    scripts = str(Path(sys.executable).parent)
    path = os.pathsep.join([scripts, kept.get("PATH", "")])
    return kept | {"HOME": str(home), "PATH": path, "COLUMNS": "80"} | more


def home_with_token(home: Path, token: str) -> Path:
    """A home that holds a token as Ray wants it, which only its user can read."""
    file = home / ".ray" / "auth_token"
    file.parent.mkdir(parents=True)
    file.touch(mode=0o600)
    file.write_text(token)
    return home


@dataclass
class Head:
    """A head that runs: its dashboard's address, and the folder that all of it is in."""

    folder: Path
    token: str
    ports: dict[str, int]

    @classmethod
    def start(cls) -> Head:
        # Short: Ray's sockets lie below it, and their paths have at most 107 characters.
        folder = Path(tempfile.mkdtemp(prefix="ntm", dir="/tmp"))
        names = ("gcs", "dashboard", "client", "agent", "agent-grpc", "metrics", "env", "node")
        ports = dict(zip((*names, "objects"), free_ports(len(names) + 1), strict=True))
        head = cls(folder, secrets.token_hex(32), ports)
        home_with_token(head.home, head.token)
        # What was compiled for one run of the tests is found by the next.
        (head.home / ".cache").mkdir()
        kept = Path(platformdirs.user_cache_dir("ntm-ray"))
        kept.mkdir(parents=True, exist_ok=True)
        (head.home / ".cache" / "ntm-ray").symlink_to(kept)
        started = subprocess.run(
            head._command(), env=head.environment, capture_output=True, text=True, check=False
        )
        if started.returncode:
            head.stop()
            raise AssertionError(started.stdout + started.stderr)
        return head

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['dashboard']}"

    @property
    def environment(self) -> dict[str, str]:
        variables = environment(
            self.home, RAY_AUTH_MODE="token", RAY_USAGE_STATS_ENABLED="0", PYTHONPATH=""
        )
        return {name: value for name, value in variables.items() if value}

    def _command(self) -> list[str]:
        ports = self.ports
        first, last = _WORKER_PORTS
        return [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head"),
            *("--temp-dir", str(self.folder / "ray"), "--num-cpus", "2"),
            *("--dashboard-host", "127.0.0.1", "--disable-usage-stats"),
            *("--object-store-memory", "150000000"),
            f"--port={ports['gcs']}",
            f"--dashboard-port={ports['dashboard']}",
            f"--ray-client-server-port={ports['client']}",
            f"--dashboard-agent-listen-port={ports['agent']}",
            f"--dashboard-agent-grpc-port={ports['agent-grpc']}",
            f"--metrics-export-port={ports['metrics']}",
            f"--runtime-env-agent-port={ports['env']}",
            f"--node-manager-port={ports['node']}",
            f"--object-manager-port={ports['objects']}",
            f"--min-worker-port={first}",
            f"--max-worker-port={last}",
        ]

    def processes(self, *words: str) -> dict[int, list[str]]:
        """Ids and command lines of the head's processes that have all these words."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().decode().split("\0")[:-1]
                line = " ".join(command)
                if str(self.folder) in line and all(word in line for word in words):
                    found[int(entry.name)] = command
        return found

    def restart_dashboard(self, seconds_away: float) -> None:
        """Kill the dashboard, and start it again as it was."""
        ((pid, command),) = self.processes("dashboard.py").items()
        variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")[:-1]
        where = Path(f"/proc/{pid}/cwd").readlink()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: pid not in self.processes("dashboard.py"))
        time.sleep(seconds_away)
        subprocess.Popen(
            command,
            cwd=where,
            env=dict(variable.split("=", 1) for variable in variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + 3
            while self.processes() and time.monotonic() < deadline:
                time.sleep(0.1)
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Relay:
    """Hands bytes to and fro between a port of its own and another, until it is cut."""

    target: int
    _open: list[socket.socket] = field(default_factory=list)
    _away_until: float = 0.0

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def cut(self, seconds: float) -> None:
        """Break all connections, and take no new ones for a while."""
        self._away_until = time.monotonic() + seconds
        for end in self._open:
            _close(end)
        self._open.clear()

    def close(self) -> None:
        _close(self._server)
        self.cut(0)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if time.monotonic() < self._away_until:
                _close(near)
                continue
            far = socket.create_connection(("127.0.0.1", self.target))
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(source, sink), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _close(source)
    _close(sink)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("", 0))) for _ in range(number)]
        return [server.getsockname()[1] for server in servers]


def wait_until(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
