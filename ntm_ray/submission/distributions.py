"""Installed packages as files: what a working directory has to hold so that they work from it."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import ntm_ray
from ntm_ray.errors import ClusterError
from ntm_ray.tuning.names import OURS
from ntm_ray.tuning.space import SPACES_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ntm_ray.tuning.names import Named

Content = Path | bytes
Files = dict[str, Content]
"""What a working directory holds: a path with slashes, to a file here or to its content."""

_METADATA = ("METADATA", "entry_points.txt", "top_level.txt")
_NOT_SOURCE = {".pyc", ".pyo"}
_COMPILED = {".so", ".pyd", ".dylib", ".dll"}


def this_package() -> Files:
    """The files of this package as its wheel holds them, whether from a wheel or a checkout.

    Raises:
        ClusterError: If it runs from a folder without having been installed.
    """
    try:
        ours = distribution(OURS)
    except PackageNotFoundError:
        raise ClusterError(
            "ntm-ray is not installed here, so what a job asks for by name cannot be packed; "
            "pip install -e . in the checkout"
        ) from None
    package = Path(ntm_ray.__file__).parent
    spaces = next(folder for folder in SPACES_FOLDERS if folder.is_dir())
    files = _tree(package, "ntm_ray")
    return files | _tree(spaces, "ntm_ray/search_spaces") | _metadata(ours)


def plugin(named: Named) -> Files:
    """The files of the package that a search algorithm or scheduler comes from.

    Raises:
        ClusterError: If it is not pure Python, or its files cannot be found.
    """
    found = named.entry.dist
    where = f"{named.kind} {named.name!r} of {named.package}"
    if found is None:
        raise ClusterError(f"{where}: it is not known which package it comes from")
    installed = _recorded(found)
    if not any(name.endswith(".py") for name in installed):
        # An editable install records a pointer to its source alone.
        installed = _top_level(named)
    for name in installed:
        if Path(name).suffix in _COMPILED:
            raise ClusterError(
                f"{where}: its package is not pure Python ({name}), so it cannot be sent along; "
                f"install {found.name} on every node of the cluster"
            )
    return installed | _metadata(found)


def _recorded(found: Distribution) -> Files:
    """The package's files by its installer's record, but for metadata and scripts."""
    files: Files = {}
    for file in found.files or []:
        inside = ".." not in file.parts and not Path(file).is_absolute()
        if inside and not file.parts[0].endswith(".dist-info") and _is_wanted(Path(file)):
            path = Path(str(found.locate_file(file)))
            if path.is_file() and path.suffix != ".pth":
                files[file.as_posix()] = path
    return files


def _top_level(named: Named) -> Files:
    module = named.entry.module.split(".")[0]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ClusterError(
            f"{named.kind} {named.name!r} of {named.package}: the source of {module} is not found"
        )
    origin = Path(spec.origin)
    if spec.submodule_search_locations:
        return _tree(origin.parent, module)
    return {origin.name: origin}


def _metadata(found: Distribution) -> Files:
    """What importlib.metadata reads, in a dist-info folder whatever the installer made."""
    folder = f"{found.name.replace('-', '_')}-{found.version}.dist-info"
    texts = {name: found.read_text(name) for name in _METADATA}
    if not texts["METADATA"]:
        texts["METADATA"] = found.read_text("PKG-INFO")
    return {f"{folder}/{name}": text.encode() for name, text in texts.items() if text}


def _tree(folder: Path, name: str) -> Files:
    return {
        f"{name}/{path.relative_to(folder).as_posix()}": path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _is_wanted(path.relative_to(folder))
    }


def _is_wanted(path: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    return not hidden and path.suffix not in _NOT_SOURCE


def total_bytes(contents: Iterable[Content]) -> int:
    """How many bytes there are in files and contents."""
    return sum(c.stat().st_size if isinstance(c, Path) else len(c) for c in contents)
