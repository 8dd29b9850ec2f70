"""The corpus that is always there: the docstrings of the Python that runs.

They are read from source files with `ast`: nothing is imported, nothing is downloaded.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import platform
import re
import sysconfig
import warnings
import zlib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ntm_ray.corpus.atomic import replacing
from ntm_ray.corpus.cache import cache_folder
from ntm_ray.corpus.text import WORD, corpus_of_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ntm_ray.corpus.corpus import Corpus
    from ntm_ray.corpus.options import ReadOptions

LEAST_WORDS = 12
"""Words that a docstring must hold to be a document. Of Python 3.11's standard library, about
4,000 do; most of the others are one line of the kind "Return the name."."""

SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "dist-packages", "idle_test", "site-packages", "test", "tests"}
)
# Part of a cache file's name: increase it whenever the same source gives other texts.
RULES = 1


def read_docstrings(options: ReadOptions, *, installed: bool = False) -> Corpus:
    """Makes a corpus of docstrings: one document a module, class, function or method.

    Docstrings of fewer than `LEAST_WORDS` words and repeated ones are left out, and so are
    examples in doctest form: without them, topics are of words and not of sample output.

    The first time takes seconds for the standard library, and maybe minutes with installed
    packages. Then the texts are in a cache folder: the one that the environment variable
    `NTM_RAY_CACHE` names, else the user's. What is in it may be deleted at any time.

    Args:
        options: which words to keep and how to split.
        installed: take those of installed packages too, not only of the standard library.

    Raises:
        CorpusError: the options leave no word or no document.
    """
    name = "docstrings:installed" if installed else "docstrings"
    roots = [Path(sysconfig.get_path("stdlib"))]
    if installed:
        roots += sorted({Path(sysconfig.get_path(key)) for key in ("purelib", "platlib")})
    cache = cache_folder() / f"docstrings-{_state(roots)}.json.gz"
    texts = _cached(cache)
    if texts is None:
        texts = distinct_docstrings(roots)
        _store(texts, cache)
    return corpus_of_texts(texts, options=options, name=name, source=name)


def distinct_docstrings(roots: Iterable[Path]) -> list[str]:
    """The docstrings below `roots` that are long enough to be documents, each text once."""
    texts = (
        _without_examples(text)
        for root in roots
        for path in _python_files(root)
        for text in docstrings_of(path)
    )
    return [text for text in dict.fromkeys(texts) if len(re.findall(WORD, text)) >= LEAST_WORDS]


def docstrings_of(path: Path) -> list[str]:
    """The docstrings of the module at `path`, of its classes, functions and methods.

    A file that cannot be read or parsed has none: an installation holds templates, and source of
    other versions of Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented))
    return [text for text in texts if text]


def _python_files(root: Path) -> Iterator[Path]:
    relative = (path.relative_to(root) for path in root.rglob("*.py"))
    for path in sorted(relative, key=lambda path: path.parts):
        if SKIPPED_FOLDERS.isdisjoint(path.parts):
            yield root / path


def _without_examples(text: str) -> str:
    """Removes doctest examples: from a line with `>>>` to the next blank line."""
    return re.sub(r"^[ \t]*>>>.*\n?(?:[ \t]*\S.*\n?)*", "", text, flags=re.MULTILINE)


def _state(roots: Iterable[Path]) -> str:
    """A name for what is installed: changes whenever the docstrings may have changed."""
    paths = [str(root) for root in roots]
    installed = sorted(
        f"{distribution.name} {distribution.version}"
        for distribution in metadata.distributions(path=paths[1:])
    )
    state = [RULES, LEAST_WORDS, platform.python_version(), *paths, *installed]
    digest = hashlib.sha256(json.dumps(state).encode()).hexdigest()
    return f"{platform.python_version()}-{digest[:16]}"


def _cached(path: Path) -> list[str] | None:
    """The texts in a cache file; None if there is none or it is broken (gzip has a checksum)."""
    try:
        texts: list[str] = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    return texts


def _store(texts: list[str], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(gzip.compress(json.dumps(texts).encode(), mtime=0))
    except OSError:
        pass  # reading takes a few seconds longer next time, and that is all
