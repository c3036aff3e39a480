"""Holds the source to the rules of its architecture, by reading it with `ast`: layers, libraries, sizes.

An exception to a rule stands in a table here with its reason; one that is no longer needed fails as well.
Never imports what it checks.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINES_IN_A_FILE = 400
LINES_IN_A_FUNCTION = 60

# From the bottom up. A module belongs to the layer with the longest prefix that fits its name, and imports
# from there and from below. Modules of no folder (filesystem, changes, recovery, ...) are the layer "vfs".
LAYERS = [
    ("vfs.errors", "vfs.limits", "vfs.numbers"),
    (
        "vfs.backing.storage",
        "vfs.backing.descriptors",
        "vfs.backing.directory_file",
        "vfs.backing.inflight",
        "vfs.backing.populate",
        "vfs.backing.sqlite_files",
    ),
    ("vfs.backing",),
    ("vfs.inode",),
    ("vfs",),
    ("vfs.repair",),
    ("vfs.mount",),
    ("vfs.cli", "vfs.__main__"),
]
CONFINED = {
    "apsw": "vfs.backing",
    "click": "vfs.cli",
    "pyfastcdc": "vfs.backing",
    "pyfuse3": "vfs.mount",
    "rich": "vfs.cli",
    "trio": "vfs.mount",
}
BANNED_NAMES = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}

# Exceptions: "path" or "path::function" -> why.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
BROAD_EXCEPTS: dict[str, str] = {
    "vfs/cli/application.py::main": "whatever happens, the user gets one line and an exit code",
    "vfs/mount/committer.py::Committer._commit_regularly": "a passing fault is logged, no end of a mount",
    "vfs/mount/committer.py::Committer._checkpoint_regularly": "the same",
    "vfs/mount/automatic.py::Automatic._try": "the same, in automatic snapshots",
    "vfs/mount/background.py::Background.run": "the same, in packing, collecting and pruning",
    "vfs/mount/reading_threads.py::Answer.find": "handed to the task that asked, which raises it",
    "vfs/mount/sync_thread.py::SyncThread._do": "handed to the task that asked, which raises it",
    "vfs/trees/ahead.py::Ahead._read": "handed to the thread that takes the items, which raises it",
    "vfs/mount/unmount.py::_begin.work": "handed to whoever waits for the outcome, who raises it",
    "vfs/mount/control.py::guarded": "a bug in one verb is logged and answered; the daemon lives on",
}
LATE_IMPORTS: dict[str, str] = {}
DEFERRED_IMPORTS: dict[str, str] = {
    "vfs/__init__.py": "most verbs only talk to a daemon, and start four times faster without the core",
    "vfs/cli/late.py": "the same, for what a verb needs of the core where no daemon is",
}

FILES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8"), str(path))
    for folder in ("vfs", "tests", "bench")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
PACKAGE = {path: tree for path, tree in FILES.items() if path.startswith("vfs/")}


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_name(path) for path in PACKAGE}


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of the modules that a tree imports: `from vfs import errors` is vfs.errors, not vfs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield submodule if submodule in MODULES else base


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def layer(module: str) -> int:
    prefixes = [(prefix, rank) for rank, names in enumerate(LAYERS) for prefix in names]
    return max((len(prefix), rank) for prefix, rank in prefixes if within(module, prefix))[1]


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Every function with its dotted name, methods and inner functions included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function | ast.ClassDef):
            if isinstance(node, Function):
                yield prefix + node.name, node
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def names_in(node: ast.AST) -> set[str]:
    names = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
    return names | {child.attr for child in ast.walk(node) if isinstance(child, ast.Attribute)}


def swallows_everything(node: ast.AST) -> bool:
    """True for `except Exception` and its like, unless the handler ends by raising."""
    if not isinstance(node, ast.ExceptHandler) or isinstance(node.body[-1], ast.Raise):
        return False
    return node.type is None or bool(names_in(node.type) & {"Exception", "BaseException"})


def own_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a function or module that do not belong to a function inside it."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, Function):
            yield node
            yield from own_nodes(node)


def compare(found: set[str], listed: dict[str, str]) -> None:
    assert found - listed.keys() == set(), "mend these, or list them with a reason"
    assert listed.keys() - found == set(), "no longer needed in the list of exceptions"


def test_imports_point_downward() -> None:
    upward = [
        f"{module_name(path)} -> {target}"
        for path, tree in PACKAGE.items()
        for target in imported(tree)
        if within(target, "vfs") and layer(target) > layer(module_name(path))
    ]
    assert upward == []


def test_modules_import_each_other_in_no_circle() -> None:
    waiting = {module_name(path): {*imported(tree)} & MODULES for path, tree in PACKAGE.items()}
    while free := [module for module, targets in waiting.items() if not targets & waiting.keys()]:
        waiting = {module: targets for module, targets in waiting.items() if module not in free}
    assert waiting == {}, "these import each other, or those that do"


@pytest.mark.parametrize(("library", "home"), CONFINED.items())
def test_libraries_stay_in_their_layer(library: str, home: str) -> None:
    strangers = [
        path
        for path, tree in PACKAGE.items()
        if not within(module_name(path), home) and any(within(target, library) for target in imported(tree))
    ]
    assert strangers == []


def test_imports_stand_at_the_top() -> None:
    late = {
        f"{path}::{name}"
        for path, tree in FILES.items()
        for name, function in functions(tree)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function))
    }
    compare(late, LATE_IMPORTS)
    compare({path for path, tree in PACKAGE.items() if "TYPE_CHECKING" in names_in(tree)}, DEFERRED_IMPORTS)


def test_files_are_named_for_a_concept() -> None:
    words = {path: set(path.removesuffix(".py").replace("/", "_").split("_")) for path in FILES}
    assert [path for path in FILES if words[path] & BANNED_NAMES] == []


def test_files_are_short() -> None:
    long = {path for path in FILES if len((ROOT / path).read_bytes().splitlines()) > LINES_IN_A_FILE}
    compare(long, LONG_FILES)


def test_functions_are_short() -> None:
    long = {
        f"{path}::{name}"
        for path, tree in FILES.items()
        for name, function in functions(tree)
        if (function.end_lineno or 0) - function.lineno + 1 > LINES_IN_A_FUNCTION
    }
    compare(long, LONG_FUNCTIONS)


def test_nothing_swallows_every_exception() -> None:
    swallowing = {
        f"{path}::{name}"
        for path, tree in PACKAGE.items()
        for name, function in [("", tree), *functions(tree)]
        if any(swallows_everything(node) for node in own_nodes(function))
    }
    compare(swallowing, BROAD_EXCEPTS)


def test_every_module_says_what_it_promises() -> None:
    assert [path for path, tree in FILES.items() if tree.body and not ast.get_docstring(tree)] == []
