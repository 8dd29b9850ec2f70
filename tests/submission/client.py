"""`ntm-ray` as a user with a home, a token and a folder runs it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.submission.head import environment, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def hearing_ctrl_c() -> Iterator[None]:
    """Hear Ctrl-C, as what is started meanwhile does.

    What a shell starts in the background ignores it, and so does all that this starts: the tests
    that way would send it to commands that are deaf to it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Running:
    """A command that runs; its output is gathered line by line."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str]) -> None:
        with hearing_ctrl_c():
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, condition: Callable[[str], bool]) -> None:
        """Wait until a line is as described."""

        def has_come() -> bool:
            assert self.process.poll() is None or any(map(condition, self.lines)), self.text
            return any(map(condition, self.lines))

        wait_until(has_come)

    def end(self, seconds: float = 90.0) -> int:
        """Wait for its end; returns the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(10)
        return code


@dataclass
class Client:
    """Runs commands; `folder` is the working directory and holds the home."""

    folder: Path
    url: str
    python_path: str

    def environment(self, **more: str) -> dict[str, str]:
        return environment(self.folder / "home", **({"PYTHONPATH": self.python_path} | more))

    def start(self, *arguments: str, address: str | None = None, **more: str) -> Running:
        command = [sys.executable, "-u", "-m", "ntm_ray", *arguments]
        command += ["--address", address or self.url]
        return Running(command, self.folder, self.environment(**more))

    def run(
        self, *arguments: str, address: str | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ntm_ray", *arguments]
        return subprocess.run(
            [*command, "--address", address or self.url],
            cwd=self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
