"""The script that measures a GPU runs, shortened, without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("benchmark") / "gpu.md"
    options = ["--device", "cpu", "--quick", "--processes", "2", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        capture_output=True, text=True, check=True, timeout=200,
    )  # fmt: skip
    text = output.read_text()
    assert done.stdout == f"{text}\n"
    return text


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_file_says_what_was_measured_and_when(text: str) -> None:
    assert "    python benchmarks/gpu.py --device cpu --quick" in text
    assert "no GPU" in text
    assert "; 20" in text


def test_every_way_and_every_number_of_processes_has_a_rate(text: str) -> None:
    rows = [cells(line) for line in text.splitlines() if line.startswith("| 200 ")]
    assert [row[4] for row in rows] == ["one by one", "streamed", "bf16", "2"]
    assert all(float(row[5].replace(",", "")) > 0 for row in rows)
