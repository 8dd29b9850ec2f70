"""What is kept of compiled code between processes, and when it is no longer used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntm_ray.model.cpu import arithmetic, epoch

if TYPE_CHECKING:
    import pytest

    from ntm_ray.corpus import Corpus


def test_compiled_code_is_kept_until_any_file_of_the_package_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Any = epoch.run
    here = arithmetic._sources()
    assert run._cache._cache_file._source_stamp == here
    package = Path(arithmetic.__file__).parent
    shutil.copytree(package, tmp_path / "cpu")
    monkeypatch.setattr(arithmetic, "__file__", str(tmp_path / "cpu" / "arithmetic.py"))
    assert arithmetic._sources.__wrapped__() == here
    with (tmp_path / "cpu" / "decoder.py").open("a") as file:
        file.write("# another thought\n")
    assert arithmetic._sources.__wrapped__() != here


def test_kept_code_is_found_in_another_folder_and_computes_the_same_bits(
    corpus: Corpus, tmp_path: Path
) -> None:
    # A copy of the package, as in another session of a cluster: only that folder stays. The first
    # process runs what it has just compiled, the second what was kept.
    corpus.save(tmp_path / "corpus.npz")
    train = f"""
import hashlib
from ntm_ray.corpus import Corpus
from ntm_ray.model import NTM
from ntm_ray.model.cpu import epoch
corpus = Corpus.load({str(tmp_path / "corpus.npz")!r})
lively = dict(num_topics=3, optimizer="adam", learning_rate=0.05, mini_batch_size=16, epochs=3)
def numbers(**own):
    model = NTM(lively, **own).fit(corpus, device="cpu")
    found = model.topic_word.tobytes() + model.transform(corpus.train).tobytes()
    return hashlib.sha256(found).hexdigest()
found = [numbers(), numbers(decoder="mixture", prior="learned", refinement=1)]
print(sum(epoch.run.stats.cache_hits.values()), epoch.__file__, *found)
"""
    hits, numbers = [], []
    for copy in ("first", "second"):
        site = tmp_path / copy
        shutil.copytree(
            Path(arithmetic.__file__).parents[2],
            site / "ntm_ray",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        done = subprocess.run(
            [sys.executable, "-c", train],
            cwd=site,
            env=os.environ | {"PYTHONPATH": str(site), "NTM_RAY_COMPILED": str(tmp_path / "kept")},
            capture_output=True,
            text=True,
            check=True,
        )
        number, file, *found = done.stdout.split()
        assert Path(file).is_relative_to(site)
        hits.append(int(number))
        numbers.append(found)
    assert hits == [0, 1]
    assert numbers[0] == numbers[1]


def test_where_nothing_can_be_written_code_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere(_: Any) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    def doubled(x: float) -> float:
        return 2 * x

    compiled: Any = arithmetic._njit()(doubled)
    monkeypatch.setattr(type(compiled), "enable_caching", nowhere)
    assert arithmetic.compiled(doubled)(21.0) == 42.0
