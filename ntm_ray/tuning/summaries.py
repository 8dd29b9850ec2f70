"""The first line of a class's docstring, without importing the class.

To list what is installed must not cost the import of every library that is installed.
"""

from __future__ import annotations

import ast
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

# A class that a package only hands on is looked for where it comes from, this often.
MOST_STEPS = 3


def summary_of(module: str, attribute: str) -> str | None:
    """Return the first line of a class's or function's docstring, read from its source.

    Returns:
        None where there is no source, no such class in it, or no docstring.

    Raises:
        ModuleNotFoundError: If there is no such module.
        SyntaxError: If its source is not Python.
    """
    for _ in range(MOST_STEPS):
        tree, package = _parsed(module)
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
                docstring = ast.get_docstring(node)
                return docstring.splitlines()[0].rstrip(".") if docstring else None
        origin = _imported_from(tree, attribute, package)
        if origin is None:
            return None
        module, attribute = origin
    return None


def _parsed(module: str) -> tuple[ast.Module, str]:
    """The source of a module as a tree, and the package that it is in."""
    spec = _find(module)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    if spec.origin is None or not spec.origin.endswith(".py"):
        return ast.Module([], []), package
    return ast.parse(Path(spec.origin).read_bytes(), spec.origin), package


def _find(module: str) -> ModuleSpec | None:
    """Find a module as an import would, but run nothing, not even the packages it is in."""
    parts = module.split(".")
    try:
        spec = find_spec(parts[0])
    except ValueError:  # what is there is no real module
        return None
    for end in range(2, len(parts) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join(parts[:end]), list(spec.submodule_search_locations))
    return spec


def _imported_from(tree: ast.Module, attribute: str, package: str) -> tuple[str, str] | None:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == attribute:
                    above = package.split(".")[: len(package.split(".")) - node.level + 1]
                    prefix = above if node.level else []
                    return ".".join([*prefix, *([node.module] if node.module else [])]), alias.name
    return None
