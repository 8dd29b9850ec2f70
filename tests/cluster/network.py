"""Machines of their own on this one: each with its network, its processes and its `/tmp/ray`.

A `Machine` is a network, process, mount and host name namespace that nothing but its first process
holds, so that there is nothing to remove: when that process is killed, the kernel kills all that
run on the machine and takes its links down. The first process in turn dies with the one that made
it, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NAMESPACES = ("--net", "--mount", "--pid", "--uts")
# bash, because the first process of a machine inherits all orphans and must reap them.
_FIRST_PROCESS = """
set -e
hostname "$1"
ip link set lo up
mkdir -p "$2/ray" /tmp/ray
mount --bind "$2/ray" /tmp/ray
# Nobody answers to names but this file.
printf '127.0.0.1 localhost\n%s %s\n' "$3" "$1" > "$2/hosts"
mount --bind "$2/hosts" /etc/hosts
mount --bind /dev/null /etc/resolv.conf
echo up
trap : TERM INT
sleep infinity & wait
"""
_SUBNET = "10.77.0"


class Machine:
    """One machine on a `Network`.

    Attributes:
        name: Its host name.
        address: Its IP address on the network.
    """

    def __init__(self, name: str, address: str, folder: Path) -> None:
        """Switch it on.

        Args:
            name: Its host name.
            address: Its address, for others to know; `Network` gives it.
            folder: Where its `/tmp/ray` lies on the real machine.
        """
        self.name = name
        self.address = address
        # What `Popen` starts dies with this process, and with it all else there.
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc"),
                *("bash", "-c", _FIRST_PROCESS, "bash", name, str(folder)),
                address or "127.0.0.2",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "up\n":
            raise OSError(self._process.communicate()[1].strip())
        self.pid = started_by(self._process)

    def command(self, *arguments: str | Path, folder: Path | str = "/") -> list[str]:
        """A command line that runs a command on this machine, in a folder."""
        enter = ["nsenter", f"--target={self.pid}", *_NAMESPACES, f"--wdns={folder}"]
        return [*enter, *map(str, arguments)]

    def run(self, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """Run a command to its end and return what it says.

        Raises:
            AssertionError: If it fails; with what it said.
        """
        done = subprocess.run(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        assert not done.returncode, f"{self.name}: {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(
        self, *arguments: str | Path, environment: Mapping[str, str], folder: Path
    ) -> subprocess.Popen[str]:
        """Start a command of which the test goes on to read the output."""
        return subprocess.Popen(
            self.command(*arguments, folder=folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def processes(self) -> dict[int, str]:
        """Process ids, as this test sees them, and command lines of all that runs there."""
        namespace = Path(f"/proc/{self.pid}/ns/pid").readlink()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "ns/pid").readlink() == namespace:
                    line = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
                    found[int(folder.name)] = line.decode(errors="replace")
            except OSError:
                continue  # it has ended in the meantime
        return {pid: line for pid, line in found.items() if line and pid != self.pid}

    def kill(self, *words: str) -> list[int]:
        """Kill, with SIGKILL, the processes whose command line holds one of the words.

        They have ended when it returns, and their connections are closed: until then peers would
        not hear of it from a machine that is cut off next.

        Returns:
            Their ids.
        """
        chosen = [
            pid
            for pid, line in self.processes().items()
            if line != "sleep infinity" and any(word in line for word in words)
        ]
        for pid in chosen:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        while not all(_has_ended(pid) for pid in chosen):
            time.sleep(0.01)
        return chosen

    def switch_off(self) -> None:
        """End all that runs there at once, and the machine itself."""
        self._process.kill()
        self._process.communicate()


class Network:
    """Machines joined by one switch; all are gone when the block ends.

    Raises:
        OSError: On entry, if this process may not make machines.
    """

    def __init__(self, folder: Path) -> None:
        """Begin with no machine; `folder` is for the files of those to come."""
        self._folder = folder
        self._machines: dict[str, Machine] = {}
        self._addresses = 0

    def __enter__(self) -> Self:
        self._switch = Machine("switch", "", self._folder / "switch")
        self._switch.run("ip", "link", "add", "name", "bridge", "type", "bridge")
        self._switch.run("ip", "link", "set", "bridge", "up")
        return self

    def __exit__(self, *_: Any) -> None:
        for machine in self._machines.values():
            machine.switch_off()
        self._switch.switch_off()

    def add(self, name: str) -> Machine:
        """Switch a new machine on and plug it in."""
        self._addresses += 1
        address = f"{_SUBNET}.{self._addresses}"
        machine = Machine(name, address, self._folder / name)
        self._machines[name] = machine
        # The switch's network alone is entered: in its process namespace there is no such id.
        enter = ["nsenter", f"--target={self._switch.pid}", "--net", "ip", "link", "add"]
        port = ["name", name, "type", "veth", "peer", "name", "eth0", "netns", str(machine.pid)]
        subprocess.run([*enter, *port], check=True)
        self._switch.run("ip", "link", "set", "dev", name, "master", "bridge", "up")
        machine.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        machine.run("ip", "link", "set", "eth0", "up")
        machine.run("ip", "route", "add", "default", "dev", "eth0")
        return machine

    def remove(self, machine: Machine) -> None:
        """Cut a machine off and then end it, so that nobody hears of its end: a power failure."""
        # Both ends of the link go at once; with the namespace they would some time later.
        self._switch.run("ip", "link", "delete", "dev", machine.name)
        machine.switch_off()
        del self._machines[machine.name]

    def cut(self, machine: Machine) -> None:
        """Pull the machine's plug out of the switch: packets both ways are lost, silently."""
        self._switch.run("ip", "link", "set", "dev", machine.name, "down")

    def restore(self, machine: Machine) -> None:
        """Put the plug back."""
        self._switch.run("ip", "link", "set", "dev", machine.name, "up")

    @contextlib.contextmanager
    def away(self, machine: Machine) -> Iterator[None]:
        """Cut a machine off for a while."""
        self.cut(machine)
        try:
            yield
        finally:
            self.restore(machine)


def started_by(process: subprocess.Popen[str]) -> int:
    """The id of what a process that enters or makes a machine runs there."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (found := children.read_text().split()):
        time.sleep(0.01)
    return int(found[0])


def wait_for_answer(machine: Machine, host: str, port: int, seconds: float) -> None:
    """Wait until something listens on a port, as seen from a machine."""
    deadline = time.monotonic() + seconds
    probe: Sequence[str] = ("bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}")
    while subprocess.run(machine.command(*probe), capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, f"nothing answers at {host}:{port}"
        time.sleep(0.1)


def why_no_machines(folder: Path) -> str | None:
    """Why machines cannot be made here, if they cannot."""
    for tool in ("setpriv", "unshare", "nsenter", "ip"):
        if subprocess.run(["which", tool], capture_output=True, check=False).returncode:
            return f"needs {tool}"
    try:
        with Network(folder) as network:
            network.add("probe")
    except (OSError, AssertionError) as error:
        return f"needs the right to make network namespaces: {error}"
    return None


def _has_ended(pid: int) -> bool:
    """Whether a process is gone, or all but its first thread are, and that waits to be reaped."""
    folder = Path(f"/proc/{pid}")
    try:
        threads = [thread.name for thread in (folder / "task").iterdir()]
        state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return threads == [str(pid)] and state in {"Z", "X"}
