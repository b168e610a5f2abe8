"""The rules of the house. Each takes a tree of sources and returns what breaks it, a line for each breach."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from architecture.house import FACE, FLOORS, LIGHT, PACKAGES
from architecture.sources import Import, all_sources, installed_sources

__all__ = ["RULES", "Rule"]

Rule = Callable[[Path], list[str]]

MAX_LINES = 300

_TABLES = "tests/architecture/house.py"
_FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
_BRINGS = {room: brings for floor in FLOORS for room, brings in floor.items()}
_TEXTS = (
    *("*.md", "*.toml", "*.txt", "Makefile", ".gitignore", ".ci/run", "protos/**/*.proto", "docs/**/*.md"),
    *("docs/**/*.json", "docs/**/*.y*ml", "examples/*/*.m*", "examples/*/*.json"),
)
_MACHINE_PATH = re.compile(r"(?<![\w.~}])/(?:home|root|Users|work|tmp|opt|mnt)/\w")


def every_room_has_a_floor(tree: Path) -> list[str]:
    """A room that is not in the table would escape all other rules."""
    found = {
        _room_of(source.module) for source in all_sources(tree) if source.module.split(".")[0] == "siamcorr"
    }
    return [
        *(f"siamcorr.{room}: add it to FLOORS in {_TABLES}" for room in sorted(found - _FLOOR_OF.keys())),
        *(
            f"siamcorr.{room}: gone, so take it out of FLOORS in {_TABLES}"
            for room in sorted(_FLOOR_OF.keys() - found)
        ),
    ]


def nothing_imports_upward(tree: Path) -> list[str]:
    """Data goes one way through the house, and so do imports."""
    return [
        f"{at}: siamcorr.{room} on floor {_FLOOR_OF[room]} leans on siamcorr.{other} on {_FLOOR_OF[other]}"
        for at, room, other in _leanings(tree)
        if _FLOOR_OF[other] >= _FLOOR_OF[room]
    ]


def no_room_grows_heavy(tree: Path) -> list[str]:
    """The client stands on light rooms, so what they stand on has to stay light too."""
    through_rooms = [
        f"{at}: siamcorr.{room} would bring {', '.join(sorted(more))} through siamcorr.{other}"
        for at, room, other in _leanings(tree)
        if (more := _BRINGS[other] - _BRINGS[room])
    ]
    by_itself = [
        f"{source.path}:{found.line}: siamcorr.{room} may not import {found.name}"
        for source in installed_sources(tree)
        if source.module.split(".")[0] == "siamcorr" and (room := _room_of(source.module)) in _BRINGS
        for found in source.imports()
        if _is_foreign(found.name) and not _is_within(found.name, _BRINGS[room])
    ]
    return through_rooms + by_itself


def packages_import_what_they_may(tree: Path) -> list[str]:
    """The library knows no network, the client no engine, and server and clients not each other."""
    breaches = []
    for source in installed_sources(tree):
        package = source.module.split(".")[0]
        if package not in PACKAGES:
            breaches.append(f"{source.path}: add {package} to PACKAGES in {_TABLES}")
            continue
        breaches += [
            f"{source.path}:{found.line}: {package} may not import {found.name}"
            for found in source.imports()
            if not _package_may(package, found.name)
        ]
    return breaches


def no_asserts_where_python_may_skip_them(tree: Path) -> list[str]:
    """Asserts vanish under ``python -O``: bad input raises InvalidArgument, our own fault InternalError."""
    return [
        f"{source.path}:{node.lineno}: assert"
        for source in installed_sources(tree)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assert)
    ]


def files_are_short(tree: Path) -> list[str]:
    """A file that is too long to read is two rooms in one."""
    return [
        f"{source.path}: {lines} lines, at most {MAX_LINES}"
        for source in all_sources(tree)
        if not source.is_generated and (lines := len(source.text.splitlines())) > MAX_LINES
    ]


def tests_never_sleep(tree: Path) -> list[str]:
    """A test that sleeps is slow on a fast machine and wrong on a slow one. Move a fake clock instead."""
    return [
        f"{source.path}:{node.lineno}: {ast.unparse(node)}"
        for source in all_sources(tree)
        if source.is_test
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom | ast.Call) and _is_sleep(node)
    ]


def no_paths_of_one_machine(tree: Path) -> list[str]:
    """What works only where it was written does not belong to the project."""
    texts = [path for pattern in _TEXTS for path in tree.glob(pattern)]
    return [
        f"{path.relative_to(tree)}:{number}: {match.group()}"
        for path in sorted([*texts, *(tree / source.path for source in all_sources(tree))])
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (match := _MACHINE_PATH.search(line))
    ]


def modules_say_what_they_are(tree: Path) -> list[str]:
    """A public module opens with a docstring and, where it has names, lists the public ones."""
    breaches = []
    for source in installed_sources(tree):
        name = source.module.split(".")[-1]
        if name.startswith("_") and name != "__main__":
            continue
        if not ast.get_docstring(source.tree):
            breaches.append(f"{source.path}: no docstring")
        has_names = len(source.tree.body) > 1
        if has_names and name != "__main__" and not any(_binds_all(node) for node in source.tree.body):
            breaches.append(f"{source.path}: no __all__")
    return breaches


RULES: tuple[Rule, ...] = (
    every_room_has_a_floor,
    nothing_imports_upward,
    no_room_grows_heavy,
    packages_import_what_they_may,
    no_asserts_where_python_may_skip_them,
    files_are_short,
    tests_never_sleep,
    no_paths_of_one_machine,
    modules_say_what_they_are,
)


def _room_of(module: str) -> str:
    """Return the room that siamcorr.ROOM... lies in; what is no room is a name on the face of the house."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else FACE


def _leanings(tree: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (place, room, other room) for each import of one listed room by another."""
    rooms = {_room_of(source.module) for source in all_sources(tree)}
    for source in installed_sources(tree):
        room = _room_of(source.module)
        if source.module.split(".")[0] != "siamcorr" or room not in _FLOOR_OF:
            continue
        for found in source.imports():
            other = _target(found, rooms)
            if other is not None and other != room:
                yield f"{source.path}:{found.line}", room, other


def _target(found: Import, rooms: set[str]) -> str | None:
    if found.name.split(".")[0] != "siamcorr":
        return None
    other = _room_of(found.name)
    other = other if other in rooms else FACE
    return other if other in _FLOOR_OF else None


def _is_foreign(name: str) -> bool:
    top = name.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in PACKAGES


def _is_within(name: str, allowed: frozenset[str]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in allowed)


def _package_may(package: str, name: str) -> bool:
    top = name.partition(".")[0]
    may = PACKAGES[package]
    if package == "siamcorr" and "_pb2_grpc" in name:
        return False
    if top == package or top in sys.stdlib_module_names:
        return True
    if top == "siamcorr" and "siamcorr.light" in may:
        return _room_of(name) in LIGHT
    return _is_within(name, may)


def _is_sleep(node: ast.ImportFrom | ast.Call) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module in {"time", "asyncio"} and any(alias.name == "sleep" for alias in node.names)
    sleeps = ast.unparse(node.func) in {"time.sleep", "asyncio.sleep"}
    return sleeps and ast.unparse(node) != "asyncio.sleep(0)"  # which only lets others run


def _binds_all(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)
