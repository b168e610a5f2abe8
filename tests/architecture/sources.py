"""The Python files of a tree as the rules see them: where they lie, their names, what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["Import", "Source", "all_sources", "installed_sources"]

_FOLDERS = ("siamcorr", "server", "clients", "protos", "tests")
_GENERATED = ("siamcorr/v1/", "server/siamcorr_server/inference/v2/")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, in full: ``from siamcorr.v1 import tensor_pb2`` is siamcorr.v1.tensor_pb2."""

    name: str
    line: int


@dataclass(frozen=True)
class Source:
    """One file: ``path`` from the root of the tree, and ``module``, its dotted name once it is installed."""

    path: str
    text: str

    @property
    def module(self) -> str:
        """The dotted name; a package goes by its folder's name."""
        parts = Path(self.path).with_suffix("").parts
        if parts[0] in {"server", "clients"}:
            parts = parts[1:]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def is_generated(self) -> bool:
        """Whether protos/generate.py wrote it."""
        return self.path.startswith(_GENERATED)

    @property
    def is_test(self) -> bool:
        """Whether it is never installed and runs under pytest."""
        return self.path.startswith("tests/")

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, self.path)

    def imports(self) -> Iterator[Import]:
        """Yield what is imported anywhere in the file, within functions and for type checkers too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                yield from (Import(f"{origin}.{alias.name}", node.lineno) for alias in node.names)

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = [*self.module.split("."), *(["__init__"] if self.path.endswith("__init__.py") else [])]
        return ".".join([*package[: -node.level], *([node.module] if node.module else [])])


def all_sources(tree: Path) -> list[Source]:
    """Return every Python file of the project in ``tree``."""
    paths = sorted(path for folder in _FOLDERS for path in (tree / folder).rglob("*.py"))
    return [Source(path.relative_to(tree).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def installed_sources(tree: Path) -> list[Source]:
    """Return the files that are installed and written by hand."""
    return [
        source
        for source in all_sources(tree)
        if not source.is_test and not source.is_generated and not source.path.startswith("protos/")
    ]
