"""What a job found, as text in a log: a tar in base64, with its checksum, whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import sys
import tarfile
from typing import TYPE_CHECKING

from ntm_ray.errors import ClusterError
from ntm_ray.submission.results import ARCHIVE_LIMIT, Results, read_results

if TYPE_CHECKING:
    from typing import TextIO

_LINE = 4096  # characters; a multiple of four
_BEGIN = "-----BEGIN NTM-RAY RESULTS {size} {sha256}-----"
_END = "-----END NTM-RAY RESULTS-----"
_FOUND = re.compile(
    r"^-----BEGIN NTM-RAY RESULTS (?P<size>\d+) (?P<sha256>[0-9a-f]{64})-----\n"
    r"(?P<text>[A-Za-z0-9+/=\n]*)^-----END NTM-RAY RESULTS-----$",
    re.MULTILINE,
)


def print_archive(folder: str, out: TextIO | None = None) -> None:
    """Print the results of a job folder, for `archive_in` to read.

    Raises:
        ClusterError: If there are none, or they are too large for a log.
    """
    out = out or sys.stdout
    results = read_results(os.path.expanduser(folder))  # noqa: PTH111 - a Path would break a URI
    size = sum(map(len, results.values()))
    if size > ARCHIVE_LIMIT:
        raise ClusterError(
            f"{folder}: its results are {size / 1e6:,.0f} MB, more than the "
            f"{ARCHIVE_LIMIT / 1e6:.0f} MB that come through the Jobs API; copy them from there, "
            "or give the job a --storage that this machine can read, such as s3://..."
        )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in results.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    data = buffer.getvalue()
    text = base64.b64encode(data).decode()
    out.write(_BEGIN.format(size=len(data), sha256=hashlib.sha256(data).hexdigest()) + "\n")
    for start in range(0, len(text), _LINE):
        out.write(text[start : start + _LINE] + "\n")
    out.write(_END + "\n")
    out.flush()


def archive_in(log: str) -> Results:
    """The results that a log holds.

    Raises:
        ClusterError: If the log holds none, or they were cut off or changed.
    """
    found = _FOUND.search(log)
    if found is None:
        said = [line for line in log.splitlines() if line.startswith("ntm-ray: ")]
        raise ClusterError(
            said[-1].removeprefix("ntm-ray: ")
            if said
            else "the results came without their beginning or end"
        )
    try:
        data = base64.b64decode(found["text"].replace("\n", ""), validate=True)
    except ValueError:
        data = b""
    if len(data) != int(found["size"]) or hashlib.sha256(data).hexdigest() != found["sha256"]:
        raise ClusterError("the results do not fit their checksum")
    results: Results = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isreg() else None
            if content is None:
                raise ClusterError(f"the results hold {entry.name!r}, which is no plain file")
            results[entry.name] = content.read(ARCHIVE_LIMIT + 1)
            if sum(map(len, results.values())) > ARCHIVE_LIMIT:
                raise ClusterError("the results are larger than they say")
    return results
