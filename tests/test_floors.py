"""The floors of the house: which package may import which, and what is imported early."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ntm_ray"
BELOW: dict[str, set[str]] = {
    "corpus": set(),
    "model": {"corpus"},
    "tuning": {"corpus", "model"},
    "testing": {"corpus", "model", "tuning"},
    "report": {"corpus", "model", "tuning"},
    "submission": {"corpus", "model", "tuning", "report"},
    "cli": {"corpus", "model", "tuning", "report", "submission"},
}
RAY_AND_TORCH = {
    "corpus": {"ray", "torch"},
    "model": {"ray"},
    "testing": {"ray", "torch"},
    "report": {"ray", "torch"},
}


def imports(file: Path) -> set[str]:
    """Every module that a file imports, wherever in it, also for types only."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{a.name}" for a in node.names}
    return found


@pytest.mark.parametrize("floor", BELOW)
def test_a_floor_imports_only_from_floors_below(floor: str) -> None:
    files = list((PACKAGE / floor).rglob("*.py"))
    assert files
    for file in files:
        above = {
            name
            for name in imports(file)
            if name.startswith("ntm_ray.")
            and (other := name.split(".")[1]) in BELOW
            and other not in BELOW[floor] | {floor}
        }
        assert not above, f"{file} imports {above}"


@pytest.mark.parametrize("floor", RAY_AND_TORCH)
def test_a_floor_knows_no_library_that_is_not_its_business(floor: str) -> None:
    for file in (PACKAGE / floor).rglob("*.py"):
        libraries = {name.split(".")[0] for name in imports(file)}
        assert not libraries & RAY_AND_TORCH[floor], file


def test_every_package_stands_on_a_floor() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(BELOW)


def test_only_tuning_imports_ray_and_submission_its_jobs_api() -> None:
    for file in PACKAGE.rglob("*.py"):
        if of_ray := {name for name in imports(file) if name.split(".")[0] == "ray"}:
            floor = file.relative_to(PACKAGE).parts[0]
            assert floor in {"tuning", "submission"}, file
            if floor == "submission":
                jobs_api = {"ray.job_submission", "ray.job_submission.JobSubmissionClient"}
                assert of_ray <= jobs_api, file


def test_what_checks_versions_on_a_cluster_runs_without_any_package() -> None:
    # -S: without site-packages, as in a Python that is not the one that Ray runs with.
    run = subprocess.run(
        [sys.executable, "-S", "-m", "ntm_ray.submission.entry", "tune", "job.yaml"],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (2, "")
    assert "on the cluster has no Ray" in run.stdout


def test_only_who_imports_testing_needs_pytest() -> None:
    for file in PACKAGE.rglob("*.py"):
        if "pytest" in {name.split(".")[0] for name in imports(file)}:
            assert file.relative_to(PACKAGE).parts[0] == "testing", file


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("ntm_ray.cli", ["numpy", "ray", "torch"]),
        ("ntm_ray.submission.submit", ["aiohttp", "numba", "ray", "sklearn", "torch"]),
        ("ntm_ray.tuning.driver", ["numba", "pandas", "ray", "sklearn", "torch"]),
        ("ntm_ray.tuning.ray_tune", ["numba", "sklearn", "torch"]),
        ("ntm_ray.tuning.slot", ["pandas", "ray.tune", "torch"]),
        ("ntm_ray.tuning.trial", ["pandas", "plotly", "ray", "sklearn"]),
    ],
)
def test_a_start_does_not_wait_for_what_it_does_not_need(module: str, unwanted: list[str]) -> None:
    code = f"import {module}, sys; print([name for name in {unwanted} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"
