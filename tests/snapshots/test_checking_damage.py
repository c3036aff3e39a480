"""fsck of stores with snapshots: a broken invariant of trees, branches and generations is found and named."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

import vfs
from tests.snapshots.checked_stores import make
from tests.test_checker import damage
from vfs.checker import check_committed
from vfs.numbers import local_of, tree_of


class Facts(NamedTuple):
    """Numbers of the store that is damaged."""

    copy: int
    """Its tree; that of `part` is the other clone."""
    part: int
    copy_branch: int
    part_branch: int
    file: int
    """a/file, as local number."""
    folder: int
    """a."""
    removed: int
    """a/b/removed."""
    added: int
    """copy/added."""
    free: int
    """A local number that no inode has."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Facts]:
    store = tmp_path_factory.mktemp("made") / "store"
    make(store)
    with vfs.open(store, read_only=True) as fs:
        copy, part = tree_of(fs.resolve("copy").ino), tree_of(fs.resolve("part").ino)
        branches = {tree.id: tree.branch for tree in fs.table.trees}
        paths = ("a/file", "a", ".snapshots/one/a/b/removed", "copy/added")
        numbers = [local_of(fs.resolve(path).ino) for path in paths]
        file, folder, removed, added = numbers
        facts = Facts(
            *(copy, part, branches[copy], branches[part]),
            *(file, folder, removed, added, max(numbers) + 900),
        )
    return store, facts


@pytest.fixture
def store(made: tuple[Path, Facts], tmp_path: Path) -> Path:
    """A copy of that, to be damaged."""
    return Path(shutil.copytree(made[0], tmp_path / "store"))


@pytest.fixture
def facts(made: tuple[Path, Facts]) -> Facts:
    return made[1]


def found(store: Path) -> list[str]:
    return [f"{problem.kind}: {problem.message}" for problem in vfs.check(store).problems]


# What is done -> SQL with the names of `Facts`, and how a line of what is found begins, and what is in it.
DAMAGE: dict[str, tuple[str, str, str]] = {
    # --- rows of files as a tree sees them
    "an entry of a snapshot that leads nowhere": (
        "UPDATE entry SET ino={free} WHERE name=x'6d6f7265' AND parent={folder} AND gen=2",
        "entry: in snapshot 'two': ",
        "which does not exist",
    ),
    "an inode of a clone with other links": (
        "UPDATE inode SET nlink=7 WHERE ino=({copy_branch}<<40)+{added} AND gen=2",
        "links: in clone {copy} of snapshot 'two'",
        "says it has 7 links",
    ),
    "a directory of a snapshot with another size": (
        "UPDATE inode SET size=99 WHERE ino={folder} AND gen=2",
        "directory: in snapshot 'two': ",
        "says it has 99 entries",
    ),
    "a directory of a snapshot that lies elsewhere": (
        "UPDATE inode SET parent={file} WHERE ino={folder} AND gen=2",
        "directory: in snapshot 'two': ",
        "its entry lies in 1",
    ),
    "a size of a snapshot below its extents": (
        "UPDATE inode SET size=5 WHERE ino={file} AND gen=2",
        "extent: in snapshot 'two': ",
        "reaches past the file's size 5",
    ),
    "allocated bytes of a snapshot": (
        "UPDATE inode SET allocated=5 WHERE ino={file} AND gen=2",
        "extent: in snapshot 'two': ",
        "says 5 bytes are allocated",
    ),
    "a segment of what is no file there": (
        "UPDATE extent SET ino={folder} WHERE ino={file} AND gen=1",
        "extent: segment 0 belongs to inode {folder}, ",
        "which is no file",
    ),
    "an attribute of what is not there": (
        "UPDATE xattr SET ino={free} WHERE ino={file} AND gen=1",
        "xattr: ",
        "which does not exist",
    ),
    "files of a snapshot, counted wrongly": (
        "UPDATE tree SET files=files+1 WHERE source=0 AND gen=1",
        "totals: in snapshot 'one': ",
        "files is noted as",
    ),
    "directories of a snapshot, counted wrongly": (
        "UPDATE tree SET directories=directories+1 WHERE source=0 AND gen=1",
        "totals: in snapshot 'one': ",
        "directories is noted as",
    ),
    "bytes of a snapshot, counted wrongly": (
        "UPDATE tree SET logical_bytes_high=3 WHERE source=0 AND gen=1",
        "totals: in snapshot 'one': ",
        "logical_bytes is noted as",
    ),
    "a row that is counted nowhere": (
        "DELETE FROM extent WHERE ino={file} AND gen=1",
        "blob: ",
        "extents name it",
    ),
    # --- rows as parts of branches
    "rows of a branch that does not exist": (
        "UPDATE xattr SET ino=(77<<40)+{file} WHERE ino={file} AND gen=1",
        "branch: rows of xattr are of branch 77, ",
        "",
    ),
    "a removed inode that was never there": (
        "INSERT INTO inode SELECT {free}-890, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL",
        "history: inode ",
        "nothing was there to remove",
    ),
    "a removed inode that was removed before": (
        (
            "INSERT INTO inode SELECT ino, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL FROM inode"
            " WHERE ino={removed} AND mode=0; UPDATE meta SET value=4 WHERE key='generation'"
        ),
        "history: inode {removed} as of generation 3 ",
        "nothing was there to remove",
    ),
    "a removed name that was never there": (
        "INSERT INTO entry VALUES({folder}, x'6e', 2, 0, 77, 0)",
        "history: entry b'n' of directory {folder} ",
        "nothing was there to remove",
    ),
    "removed attributes that were never there": (
        "INSERT INTO xattr VALUES({folder}, x'', 2, x'')",
        "history: the attributes of inode {folder} ",
        "nothing was there to remove",
    ),
    "a segment of an inode that is gone": (
        "UPDATE extent SET ino={removed}, gen=2 WHERE ino={file} AND gen=2",
        "history: segment 0 of inode {removed} as of generation 2 ",
        "is seen by no tree",
    ),
    "a number that was not handed out": (
        "UPDATE sequence SET next=4 WHERE name='ino'",
        "sequence: ",
        "the next inode number is 4",
    ),
    # --- branches, trees and snapshots
    "a tree of no branch": ("UPDATE tree SET branch=88 WHERE id={copy}", "index: ", "branch 88"),
    "a tree of no snapshot": (
        "DELETE FROM snapshot WHERE name='one'",
        "index: ",
        "which does not exist",
    ),
    "a snapshot without its main tree": ("DELETE FROM tree WHERE source=0 AND gen=1", "index: ", "no tree"),
    "a loop below a tree": (
        "UPDATE branch SET parent={copy_branch} WHERE id={copy_branch}",
        "index: ",
        "more than 10000 branches below branch {copy_branch}",
    ),
    "a row newer than the clock": ("UPDATE xattr SET gen=50 WHERE gen=3", "index: ", "generation 50"),
    "a branch of no tree": (
        "INSERT INTO branch VALUES(1, 0, 1)",
        "branch: branch 1 has no tree and no fork",
        "",
    ),
    "branches that fork from each other": (
        "INSERT INTO branch VALUES(1, 3, 2), (3, 1, 2)",
        "index: ",
        "branch 1 forks from itself",
    ),
    "a branch that forks from none": (
        "INSERT INTO branch VALUES(1, 99, 2)",
        "branch: branch 1 forks from branch 99, which does not exist",
        "",
    ),
    "a fork of what was not there yet": (
        "UPDATE branch SET gen=3 WHERE id={copy_branch}",
        "branch: branch {copy_branch} forks from branch 0 at generation 3, ",
        "never had",
    ),
    "a fork of what was there before its branch": (
        "INSERT INTO branch VALUES(1, {copy_branch}, 1)",
        "branch: branch 1 forks from branch {copy_branch} at generation 1, ",
        "never had",
    ),
    "a snapshot of what was not there yet": (
        "UPDATE tree SET gen=3 WHERE gen=2",
        "index: ",
        "which is still to come",
    ),
    "a snapshot of what was there before its branch": (
        "UPDATE tree SET gen=1 WHERE gen=2",
        "tree: tree ",
        "is frozen at generation 1, which branch {copy_branch} never had",
    ),
    "a snapshot of two moments": (
        "UPDATE tree SET gen=1 WHERE gen=2 AND source=0",
        "snapshot: snapshot 'two' is of more than one generation",
        "",
    ),
    "two trees of a snapshot for the same clone": (
        "UPDATE tree SET source={copy} WHERE source={part} AND gen=2",
        "index: ",
        "as another one of the same snapshot does",
    ),
    "a snapshot of a snapshot": (
        "UPDATE tree SET source=(SELECT id FROM tree WHERE gen=1) WHERE source={part} AND gen=2",
        "tree: tree ",
        "which is frozen itself",
    ),
    "a live tree that ends": ("UPDATE tree SET gen=3 WHERE id={copy}", "index: ", "tree {copy} is live"),
    "a live tree that shows another": (
        "UPDATE tree SET source={part} WHERE id={copy}",
        "index: ",
        "tree {copy} is live, but shows tree {part}",
    ),
    "two live trees that write to one branch": (
        "UPDATE tree SET branch={copy_branch} WHERE id={part}",
        "index: ",
        "two live trees write to the same branch",
    ),
    "a number of a tree that was not handed out": (
        "UPDATE meta SET value={copy} WHERE key='next_tree'",
        "sequence: next_tree is {copy}, but tree {copy} exists",
        "",
    ),
    "a name that no snapshot has": (
        "UPDATE snapshot SET name='../one' WHERE name='one'",
        "index: ",
        "has a name that none can have",
    ),
    # --- where trees meet
    "an entry into a tree that is not there": (
        "UPDATE entry SET ino=(70<<40)+1 WHERE name=x'636f7079' AND parent=1",
        "entry: entry b'copy' of directory 1 leads into tree 69, which is not there",
        "",
    ),
    "an entry into the middle of a tree": (
        "UPDATE entry SET ino=(({copy}+1)<<40)+{folder} WHERE name=x'636f7079' AND parent=1",
        "entry: entry b'copy' of directory 1 leads into tree {copy}, but not to its root",
        "",
    ),
    "a clone without a name": (
        "DELETE FROM entry WHERE name=x'636f7079' AND parent=1",
        "links: in clone {copy}: its root 1 has 0 names",
        "",
    ),
    "a clone with two names": (
        "INSERT INTO entry SELECT parent, x'6f74686572', gen, ino, 3, kind FROM entry WHERE name=x'636f7079'",
        "links: in clone {copy}: its root 1 has 2 names",
        "",
    ),
    "a clone that says it lies elsewhere": (
        "UPDATE inode SET parent=(1<<40)+{folder} WHERE ino=({copy_branch}<<40)+1",
        "directory: in clone {copy}: its root says it lies in ",
        "",
    ),
    "clones that lie in each other": (
        (
            "UPDATE entry SET cookie=50, parent=({part_branch}<<40)+{folder} WHERE name=x'636f7079';"
            "UPDATE entry SET cookie=50, parent=({copy_branch}<<40)+1 WHERE name=x'70617274';"
            "UPDATE inode SET parent=(({part}+1)<<40)+{folder} WHERE ino=({copy_branch}<<40)+1;"
            "UPDATE inode SET parent=(({copy}+1)<<40)+1 WHERE ino=({part_branch}<<40)+{folder}"
        ),
        "directory: in clone {copy}: it cannot be reached from the root",
        "",
    ),
    "a folder that says it lies in another tree": (
        "UPDATE inode SET parent=(({copy}+1)<<40)+1 WHERE ino={folder}",
        "directory: inode {folder} says it lies in ",
        "which is of another tree",
    ),
    "a clone of which a snapshot has not even the root": (
        "DELETE FROM inode WHERE ino=1 AND gen=1; UPDATE inode SET gen=3 WHERE ino=1 AND gen=2",
        "directory: in snapshot ",
        "the root directory is missing",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_and_named(store: Path, facts: Facts, what: str) -> None:
    sql, begins, inside = (text.format(**facts._asdict()) for text in DAMAGE[what])
    damage(store, sql)
    lines = found(store)
    assert any(line.startswith(begins) and inside in line for line in lines), lines


SEEN_BY_TWO = "DELETE FROM tree WHERE gen=2; DELETE FROM snapshot WHERE name='two'"


def test_rows_that_nobody_sees_are_found_unless_they_are_to_go(store: Path, facts: Facts) -> None:
    damage(store, SEEN_BY_TWO)
    lines = found(store)
    assert lines
    assert all(line.startswith("history: ") and line.endswith(" is seen by no tree") for line in lines)
    for what in ("inode", "entry b'more' of directory", "segment 0 of inode", "the attributes of inode"):
        assert any(line.startswith(f"history: {what} ") for line in lines), what
    for branch in (0, facts.copy_branch):
        assert any(f"of branch {branch} is seen" in line for line in lines), branch
    with vfs.open(store) as fs:
        branches = [row[0] for row in fs.store.index._all("SELECT id FROM branch")]
    for branch in (0, *branches):
        damage(store, "INSERT INTO pruning(branch, gen) VALUES(?, 2)", branch)
    assert found(store) == []


def test_a_clone_that_is_gone_without_a_job_is_found(store: Path, facts: Facts) -> None:
    damage(store, f"DELETE FROM tree WHERE id={facts.copy}; DELETE FROM entry WHERE name=x'636f7079'")
    lines = found(store)
    assert any(f"of branch {facts.copy_branch} is seen by no tree" in line for line in lines)


def test_a_store_in_use_is_looked_at_as_well(store: Path, facts: Facts) -> None:
    """There, what would keep the store from being opened is met by the checks themselves."""
    with vfs.open(store) as fs:
        damage(store, "UPDATE xattr SET gen=50 WHERE gen=3")
        lines = [f"{problem.kind}: {problem.message}" for problem in check_committed(fs).problems]
        assert "generation: 1 rows of xattr are of generation 50, now is 3" in lines
        damage(store, f"UPDATE xattr SET gen=3 WHERE gen=50; UPDATE tree SET branch=88 WHERE id={facts.copy}")
        lines = [f"{problem.kind}: {problem.message}" for problem in check_committed(fs).problems]
        assert lines == [f"index: damaged index: tree {facts.copy} is of branch 88, which does not exist"]
        damage(store, f"UPDATE tree SET branch={facts.copy_branch} WHERE id={facts.copy}")
    assert found(store) == []


def test_snapshots_that_show_the_same_rows_are_each_looked_at(store: Path, facts: Facts) -> None:
    with vfs.open(store) as fs:
        fs.create_snapshot("three")
        fs.create_snapshot("four")
        fs.create_snapshot("five")
    assert found(store) == []
    of_four = "snapshot=(SELECT id FROM snapshot WHERE name='four')"
    damage(store, f"UPDATE tree SET files=77 WHERE source=0 AND {of_four}")
    assert found(store) == ["totals: in snapshot 'four': files is noted as 77, counted as 4"]
    damage(store, f"UPDATE tree SET files=4 WHERE source=0 AND {of_four}")
    damage(store, f"DELETE FROM tree WHERE source={facts.copy} AND {of_four}")
    leads = f"entry b'copy' of directory 1 leads into tree {facts.copy}, which is not there"
    assert found(store) == [f"entry: in snapshot 'four': {leads}"]


def test_the_same_damage_is_told_of_one_tree(store: Path, facts: Facts) -> None:
    damage(store, f"UPDATE inode SET nlink=9 WHERE ino={facts.removed} AND gen=1")
    assert [line.split(": ")[2] for line in found(store)] == [
        f"inode {facts.removed} says it has 9 links, it has 1"
    ]
