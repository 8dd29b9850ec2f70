"""The example plugin, installed as a stranger would install it, and packages that are broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "my_search"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the example is installed into; without isolation, so without network."""
    source = tmp_path_factory.mktemp("source") / "my_search"
    shutil.copytree(EXAMPLE, source)
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*pip, "--no-build-isolation", "--target", str(folder), str(source)], check=True
    )
    return folder


def run(
    *command: str, seeing: Path, cwd: Path | None = None, module: str = "ntm_ray"
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(seeing), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", module, *command],
        cwd=cwd or seeing,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def package(folder: Path, name: str, entry: str, group: str = "search_algorithms") -> None:
    """Lay out a package as an installer leaves it, with one entry point."""
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nSummary: what {name} is\n"
        'Provides-Extra: more\nRequires-Dist: surely-not-installed>=2; extra == "more"\n'
    )
    (metadata / "entry_points.txt").write_text(f"[ntm_ray.{group}]\n{entry}\n")


def test_an_installed_plugin_is_listed_with_what_it_is_and_whose(installed: Path) -> None:
    done = run("list", "search", seeing=installed)
    (line,) = (line for line in done.stdout.splitlines() if line.split()[0] == "mine")
    assert line.endswith(
        "Every other time, the best configuration with one parameter drawn anew (my-search 0.1)"
    )
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names[-1] == "mine", "ours come first"


def test_a_job_file_asks_for_an_installed_plugin_by_name_with_its_option(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(
        "corpus: synthetic\nsearch: {name: mine, explore: 0.3}\nscheduler: none\n"
        "hyperparameters: {num_topics: 5, epochs: 2}\ntrials: 3\nslots: 1\nname: job\n"
    )
    done = run("tune", "job.yaml", "--json", seeing=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"]["finished"] == 3
    again = run("tune", "--resume", "runs/job", "--json", seeing=installed, cwd=tmp_path)
    assert json.loads(again.stdout)["best"] == json.loads(done.stdout)["best"]


def test_a_wrong_option_of_a_plugin_is_one_line(installed: Path, tmp_path: Path) -> None:
    for options, message in {
        "explor: 0.3": "'mine' has no option 'explor'; did you mean 'explore'? it has explore",
        "explore: 3": "'mine': ValueError: explore = 3: a number from 0 to 1 is wanted",
    }.items():
        (tmp_path / "job.yaml").write_text(f"search: {{name: mine, {options}}}\n")
        done = run("tune", "job.yaml", seeing=installed, cwd=tmp_path)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert message in line


def test_the_examples_own_test_passes(installed: Path, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "test_my_search.py", tmp_path)
    done = run("-q", "test_my_search.py", seeing=installed, cwd=tmp_path, module="pytest")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    ("entry", "source", "listed", "refused"),
    [
        (
            "mine = missing_module:Mine",
            None,
            "cannot be used: ModuleNotFoundError: No module named 'missing_module'",
            "cannot be used: ModuleNotFoundError: No module named 'missing_module'",
        ),
        (
            "mine = stranger:Mine",
            "class Mine(:\n",
            "cannot be used: SyntaxError: invalid syntax",
            "cannot be used: SyntaxError: invalid syntax",
        ),
        (
            "mine = stranger:Mine [more]",
            "class Mine:\n    '''Is well.'''\n",
            "needs pip install 'stranger[more]'",
            "needs pip install 'stranger[more]'",
        ),
        (
            "mine = stranger:Mine",
            "import no_such_library\n\nclass Mine:\n    '''Is well.'''\n",
            "Is well",
            "cannot be used: ModuleNotFoundError: No module named 'no_such_library'",
        ),
        (
            "mine = stranger:Yours",
            "class Mine:\n    '''Is well.'''\n",
            "what stranger is",
            "cannot be used: AttributeError: module 'stranger' has no attribute 'Yours'",
        ),
        (
            "mine = stranger:Mine",
            "class Mine:\n    '''Is well.'''\n",
            "Is well",
            "its class does not take the 2 arguments of a search algorithm",
        ),
        (
            "mine = stranger:Mine",
            "raise SystemError('two\\nlines')\nclass Mine: pass\n",
            "what stranger is",
            "cannot be used: SystemError: two lines",
        ),
    ],
)
def test_a_broken_package_is_one_line_and_no_traceback(
    entry: str, source: str | None, listed: str, refused: str, tmp_path: Path
) -> None:
    package(tmp_path, "stranger", entry)
    if source is not None:
        (tmp_path / "stranger.py").write_text(source)
    done = run("list", "search", seeing=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = (line for line in done.stdout.splitlines() if line.split()[0] == "mine")
    assert listed in line
    assert line.endswith("(stranger 1.0)")
    done = run("tune", "synthetic", "--search", "mine", seeing=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert refused in line
    assert not (tmp_path / "runs").exists()


def test_a_name_that_is_ours_stays_ours_and_the_other_has_one_too(tmp_path: Path) -> None:
    package(tmp_path, "stranger", "random = stranger:Mine")
    (tmp_path / "stranger.py").write_text("class Mine:\n    '''Is another.'''\n")
    lines = run("list", "search", seeing=tmp_path).stdout.splitlines()
    listed = {line.split()[0]: line for line in lines}
    assert "Independent draws" in listed["random"]
    assert "Is another" in listed["random@stranger"]


def test_listing_imports_nothing_that_takes_long(installed: Path) -> None:
    heavy = "{'torch', 'ray', 'hyperopt', 'optuna', 'sklearn', 'numba', 'my_search'}"
    code = (
        "import sys; from ntm_ray.cli import app\n"
        "try: app(['list'])\n"
        "except SystemExit: pass\n"
        f"found = {heavy} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout
