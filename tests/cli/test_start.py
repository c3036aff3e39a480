"""What a command imports: one that only talks to a daemon nothing of the core, so that it starts at once."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vfs as library
from tests.cli.living import mount
from tests.cli.shell import vfs
from vfs.cli.application import VERBS

HEAVY = {
    "apsw",
    "asyncio",
    "blake3",
    "msgspec",
    "pyfastcdc",
    "pyfuse3",
    "rich",
    "trio",
    "vfs.backing.storage",
    "vfs.filesystem",
    "vfs.inode",
    "xxhash",
    "zstandard",
}
"""What takes more than a few milliseconds to import, and is of no use without a store of one's own."""

OF_OPTIONS = {"msgspec", "xxhash", "zstandard"}
"""What the options of a mount are made of."""

TELL = "import sys, vfs.cli; code = vfs.cli.main(sys.argv[1:]); print('', *sys.modules); sys.exit(code)"


def imported(*arguments: str | Path) -> set[str]:
    """The modules that `vfs ...` has imported when it ends well."""
    command = [sys.executable, "-c", TELL, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--version"], ["snapshot", "--help"], ["umount", "--help"]])
def test_what_needs_no_store_imports_nothing_of_it(arguments: list[str]) -> None:
    assert imported(*arguments) & HEAVY == set()


def test_the_list_of_verbs_needs_no_core() -> None:
    assert imported("--help") & (HEAVY - OF_OPTIONS) == set()


@pytest.mark.mounted
def test_what_asks_a_daemon_imports_nothing_of_the_core(store: Path, point: Path, tmp_path: Path) -> None:
    mount(store, point)
    (point / "file").write_text("data")
    commands: tuple[list[str | Path], ...] = (
        ["snapshot", "create", point, "one"],
        ["snapshot", "list", point],
        ["snapshot", "policy", point, "daily=2"],
        ["diff", point, "one"],
        ["clone", point, "one", point / "clone"],
        ["copy", point / "file", point / "copy"],
        ["restore", point, "one", "file"],
        ["rollback", point, "one"],
        ["snapshot", "rename", point, "one", "two"],
        ["snapshot", "delete", point, "two"],
        ["export", point, tmp_path / "out"],
        ["import", point, tmp_path / "out"],
        ["info", point],
        ["flush", point],
        ["gc", point],
        ["fsck", point],
        ["umount", point],
    )
    for arguments in commands:
        assert imported(*arguments) & HEAVY == set(), arguments


@pytest.mark.mounted
def test_mounting_leaves_the_core_to_the_daemon(store: Path, point: Path) -> None:
    assert imported("mount", store, point) & (HEAVY - OF_OPTIONS) == set()
    assert vfs("umount", point).code == 0


def test_the_library_is_whole_when_it_is_used() -> None:
    code = (
        "import sys, vfs\n"
        "assert 'vfs.filesystem' not in sys.modules\n"
        "assert set(vfs.__all__) <= set(dir(vfs))\n"
        "vfs.errors.NoEntry\n"
        "from vfs import *\n"
        "assert mkfs is vfs.mkfs\n"
        "try: vfs.nothing\n"
        "except AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "module 'vfs' has no attribute 'nothing'\n"


@pytest.mark.parametrize("name", ["vfs", "vfs.cli.late"])
def test_type_checkers_are_told_what_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = dict(_imports(block.body))
    assert told
    for public, home in told.items():
        module_name, _, attribute = home.rpartition(".")
        assert getattr(module, public) is getattr(importlib.import_module(module_name), attribute), public
    public_names = set(module.__all__) - {"__version__", "errors"}
    assert told.keys() == public_names


def _imports(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for node in body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def test_every_verb_is_found() -> None:
    for name, module in VERBS.items():
        assert importlib.import_module(module).command.name == name


def test_help_texts_of_all_verbs_are_listed() -> None:
    shown = vfs("--help").out
    for name, module in VERBS.items():
        text = importlib.import_module(module).command.get_short_help_str(20)
        assert name in shown
        assert text.rstrip(".") in shown, name


def test_the_library_makes_and_opens_stores(tmp_path: Path) -> None:
    library.mkfs(tmp_path / "store")
    with library.open(tmp_path / "store") as fs:
        assert isinstance(fs, library.FileSystem)
