"""The package as installed: from a checkout, and from a wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHOW_SPACES = (
    "import ntm_ray.tuning, pathlib;"
    "from ntm_ray.tuning import SearchSpace, shipped_spaces;"
    "print(pathlib.Path(ntm_ray.tuning.__file__).parent.parent);"
    "[SearchSpace.read(name) for name in shipped_spaces()];"
    "print(*shipped_spaces())"
)


def spaces_in_checkout() -> list[str]:
    return sorted(file.stem for file in (ROOT / "search_spaces").glob("*.yaml"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Without isolation, so that building needs no network.
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_search_spaces_are_found_from_an_editable_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW_SPACES],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    where, found = done.stdout.splitlines()
    assert Path(where) == ROOT / "ntm_ray"
    assert sorted(found.split()) == spaces_in_checkout()


def test_search_spaces_are_found_from_a_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", SHOW_SPACES],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    where, found = done.stdout.splitlines()
    assert Path(where) == tmp_path / "site" / "ntm_ray"
    assert sorted(found.split()) == spaces_in_checkout()


def test_a_wheel_holds_the_package_and_its_spaces_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "ntm_ray/py.typed" in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ntm_ray"}
    assert not [name for name in names if name.endswith((".pyc", ".tsv", ".npz"))]


def test_what_can_be_asked_for_by_name_is_known_from_a_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-m", "ntm_ray", "list"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"tpe", "bayesian", "asha", "pbt"} <= {
        line.split()[0] for line in done.stdout.splitlines() if line
    }
