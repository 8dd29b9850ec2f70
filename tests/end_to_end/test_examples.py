"""Every program in examples/ runs as its first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_three_lines_prints_a_loss_and_twenty_topics(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "three_lines.py"), "synthetic", "4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    loss, *topics = done.stdout.splitlines()
    assert loss.startswith("validation:total_loss ")
    assert len(topics) == 20
    assert all(len(topic.split()) == 8 for topic in topics)
    assert done.stderr == "", "Ray is to be quiet"


def test_every_example_has_a_test() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py")}
    assert programs == {"three_lines.py"}
