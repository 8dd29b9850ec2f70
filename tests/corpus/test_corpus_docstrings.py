"""The corpus of docstrings: read from source, imported never, cached safely."""

from __future__ import annotations

import sysconfig
from typing import TYPE_CHECKING

import pytest

from ntm_ray.corpus import Corpus, ReadOptions, read_corpus
from ntm_ray.corpus import docstrings as module

if TYPE_CHECKING:
    from pathlib import Path

LONG = "Opens the door of the house and lets every cat of the street come in"
SOURCE = f'''"""Module: {LONG}."""
raise SystemExit("imported")

class Cat:
    """Class: {LONG}."""

    async def enter(self):
        """Method: {LONG}.

        >>> Cat().enter()
        secret output
        more secret output

        After the example.
        """

def short():
    """Opens the door."""

def again():
    """Class: {LONG}."""
'''


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A small standard library."""
    root = tmp_path / "library"
    for folder in ("pkg", "test", "pkg/tests", "site-packages"):
        (root / folder).mkdir(parents=True)
    (root / "zebra.py").write_text(SOURCE)
    (root / "pkg" / "alpha.py").write_text(f'"""Alpha: {LONG}."""')
    (root / "pkg" / "broken.py").write_text("def (:")
    (root / "pkg" / "latin.py").write_bytes(b'"""\xe9 ' + LONG.encode() + b'"""')
    (root / "pkg" / "null.py").write_bytes(b'"""x"""\0')
    for folder in ("test", "pkg/tests", "site-packages"):
        (root / folder / "skipped.py").write_text(f'"""Skipped: {LONG}."""')
    return root


@pytest.fixture
def small_python(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """Makes the small library the one of the running Python; the cache is empty."""
    paths = {"stdlib": library} | dict.fromkeys(("purelib", "platlib"), library / "site-packages")
    monkeypatch.setattr(sysconfig, "get_path", lambda key: str(paths[key]))
    monkeypatch.setenv("NTM_RAY_CACHE", str(tmp_path / "cache"))
    return monkeypatch


def read(source: str = "docstrings") -> Corpus:
    return read_corpus(source, ReadOptions(max_document_fraction=1, stop_words="none"))


def test_documents_are_long_distinct_docstrings_of_code_that_is_not_run(library: Path) -> None:
    texts = module.distinct_docstrings([library])
    heads = [text.split(":")[0] for text in texts]
    assert heads == ["Alpha", "Module", "Class", "Method"]
    assert "After the example." in texts[-1]
    assert "secret" not in texts[-1]


def test_warnings_of_foreign_source_are_not_shown(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "old.py").write_text('"""Doc."""\nx = "\\d"\n')
    assert module.docstrings_of(tmp_path / "old.py") == ["Doc."]
    assert not recwarn.list


@pytest.mark.usefixtures("small_python")
def test_a_second_read_is_from_the_cache_and_the_same(library: Path, tmp_path: Path) -> None:
    first = read()
    (library / "zebra.py").unlink()
    second = read()
    assert second.fingerprint == first.fingerprint
    assert sum(second.documents.values()) == 4
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.usefixtures("small_python")
@pytest.mark.parametrize("kept", [0, 20, -4])
def test_a_corrupt_cache_is_rebuilt(tmp_path: Path, kept: int) -> None:
    first = read()
    (cache,) = (tmp_path / "cache").iterdir()
    whole = cache.read_bytes()
    cache.write_bytes(whole[:kept] + b"????"[: len(whole[kept:])])
    assert read().fingerprint == first.fingerprint
    assert cache.read_bytes() == whole


def test_a_cache_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, small_python: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    small_python.setenv("NTM_RAY_CACHE", str(tmp_path / "file" / "cache"))
    assert read().fingerprint == read().fingerprint


@pytest.mark.usefixtures("small_python")
def test_installed_packages_are_read_if_asked_and_again_when_they_change(library: Path) -> None:
    assert sum(read().documents.values()) == 4
    assert sum(read("docstrings:installed").documents.values()) == 5
    site_packages = library / "site-packages"
    (site_packages / "new.py").write_text(f'"""New: {LONG}."""')
    info = site_packages / "new-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: new\nVersion: 1.0\n")
    corpus = read("docstrings:installed")
    assert sum(corpus.documents.values()) == 6
    assert corpus.source == "docstrings:installed"


def test_the_standard_library_gives_thousands_of_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NTM_RAY_CACHE", str(tmp_path))
    corpus = read_corpus("docstrings")
    assert 3_000 < sum(corpus.documents.values()) < 5_500
    assert 1_500 < corpus.feature_dim <= 5_000
    assert {"socket", "thread", "file", "exception"} <= set(corpus.vocabulary)
    assert read_corpus("docstrings").fingerprint == corpus.fingerprint
