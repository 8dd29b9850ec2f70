"""An S3 on a machine of its own, which can lose its network as any other."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.cluster.network import wait_for_answer
from tests.loopback_s3 import BUCKET

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.cluster.network import Network

_PORT = 5000
# Run there, since nobody else is on that network; its folders are those of this machine.
_ASK = """
import pathlib, re, sys, urllib.error, urllib.request
who = "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/s3/x"
def ask(url, method="GET"):
    request = urllib.request.Request(url, method=method, headers={"Authorization": who})
    return urllib.request.urlopen(request).read()
"""
_MAKE_BUCKET = f"""{_ASK}
ask(sys.argv[1], "PUT")
"""
_FETCH = f"""{_ASK}
bucket, prefix, folder = sys.argv[1:]
listing = ask(bucket + "?list-type=2&prefix=" + prefix).decode()
for key in re.findall("<Key>([^<]*[^</])</Key>", listing):
    file = pathlib.Path(folder, key.removeprefix(prefix))
    try:
        content = ask(bucket + "/" + key)
    except urllib.error.HTTPError as error:
        if error.code != 404:  # what is no longer needed may be gone by now
            raise
        continue
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
"""


class Store:
    """An S3 with one bucket.

    Attributes:
        machine: Where it runs.
    """

    def __init__(self, network: Network, environment: Mapping[str, str]) -> None:
        """Start it, and wait until it answers."""
        self.machine = network.add("store")
        self._address = f"{self.machine.address}:{_PORT}"
        arguments = ["-m", "moto.server", "-H", self.machine.address, "-p", str(_PORT)]
        # It says a line for each request, to nobody; it ends with its machine.
        self._process = subprocess.Popen(
            self.machine.command(sys.executable, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,
        )
        wait_for_answer(self.machine, self.machine.address, _PORT, 60)
        self._run(_MAKE_BUCKET, self._bucket)

    @property
    def _bucket(self) -> str:
        return f"http://{self._address}/{BUCKET}"

    def uri(self, key: str) -> str:
        """What `--storage` takes for a place in the bucket."""
        options = "scheme=http&region=us-east-1"
        return f"s3://{BUCKET}/{key}?endpoint_override={self._address}&{options}"

    def fetch(self, key: str, folder: Path) -> Path:
        """Write what lies below a key to a folder, and return that."""
        folder.mkdir(exist_ok=True)
        self._run(_FETCH, self._bucket, f"{key}/", str(folder))
        return folder

    def _run(self, script: str, *arguments: str) -> None:
        self.machine.run(sys.executable, "-c", script, *arguments)


def fetched_job(store: Store, folder: Path) -> Path:
    """Fetch the job folder of `faulty_jobs.job_in`, its journal in one piece, and return it."""
    segments = store.fetch("runs/job", folder) / "journal"
    journal = b"".join(part.read_bytes() for part in sorted(segments.glob("*")))
    (folder / "journal.jsonl").write_bytes(journal)
    return folder
