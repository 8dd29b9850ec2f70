"""A cluster whose versions are others: one line, and nothing has begun."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.submission.head import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.submission.client import Client
    from tests.submission.head import Head

HERE = "{}.{}".format(*sys.version_info[:2])
# What a submitter with other versions would send: this process says that it is one.
LIES = """
import sys
from ntm_ray.cli import main
from ntm_ray.submission import cluster
honest, lies = cluster.environment, sys.argv.pop(1)
cluster.environment = lambda: honest() | {cluster.SUBMITTED_WITH: lies}
main()
"""


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        (
            {"ray": "2.60.0", "python": "3.99"},
            f"the cluster has Python {HERE} (",
        ),
        (
            {"ray": "2.9.3", "python": HERE},
            ", the job was submitted with Ray 2.9.3; pip install 'ray[default,tune]==",
        ),
    ],
)
def test_versions_that_differ_are_one_clear_line_before_anything_starts(
    versions: dict[str, str], said: str, client: Client, head: Head
) -> None:
    submit = ("submit", "synthetic", "--name", "lied", "--address", client.url)
    done = subprocess.run(
        [sys.executable, "-c", LIES, json.dumps(versions), *submit],
        cwd=client.folder,
        env=client.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("ntm-ray: "))
    assert said in line
    assert not (head.home / "ntm-ray" / "lied").exists()


def test_packages_that_are_missing_or_too_old_are_named_with_the_command_that_installs_them(
    tmp_path: Path,
) -> None:
    metadata = tmp_path / "stranger-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n"
        "Requires-Dist: numpy>=99\nRequires-Dist: no-such-package\n"
        'Requires-Dist: neither; extra == "more"\nRequires-Dist: stranger\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "ntm_ray.submission.entry", "tune", "job.yaml"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "")
    (line,) = done.stdout.splitlines()
    assert "numpy>=99 (is " in line
    assert "no-such-package (is not installed)" in line
    assert line.endswith("-m pip install 'numpy>=99' 'no-such-package'")
    assert "neither" not in line
