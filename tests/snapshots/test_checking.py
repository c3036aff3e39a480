"""fsck of stores with snapshots: what is healthy is clean, whatever trees there are and wherever they lie."""

import stat
import time
from contextlib import suppress
from pathlib import Path

import pytest

import vfs
from tests.snapshots.checked_stores import NEW, OLD, change, make
from tests.snapshots.lives import DOTS, RandomLife
from vfs.checker import Report, check_committed, check_storage
from vfs.errors import VfsError
from vfs.filesystem import FileSystem
from vfs.limits import ROOT_INO
from vfs.numbers import number_of


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make(tmp_path / "store")
    return tmp_path / "store"


def problems(report: Report) -> list[str]:
    return [problem.message for problem in report.problems]


def test_a_healthy_store_with_snapshots_and_clones_is_clean(store: Path) -> None:
    report = vfs.check(store, data=True)
    assert problems(report) == []
    assert {key: report.counts[key] for key in ("snapshots", "clones", "files", "directories")} == {
        "snapshots": 2,
        "clones": 2,
        "files": 4,
        "directories": 3,
    }
    assert report.files_damaged == []


def test_each_tree_is_told_as_it_is_looked_at(store: Path) -> None:
    told: list[tuple[int, int, str]] = []
    vfs.check(store, lambda done, total, what: told.append((done, total, what)))
    names = [what for _, _, what in told]
    assert [name for name in names if "snapshot" in name] == [
        "snapshot 'two'",
        *(f"clone {tree} of snapshot 'two'" for tree in clones(store)),
        "snapshot 'one'",
    ]
    assert told[-1][0] == told[-1][1] == len(told) - 1


def clones(store: Path) -> list[int]:
    with vfs.open(store, read_only=True) as fs:
        return sorted(fs.table.clones())


def test_what_only_the_log_has_of_clones_is_checked_too(store: Path) -> None:
    fs = vfs.open(store)
    fs.clone("two", fs.resolve("copy").ino, b"deep")
    fs.clone("two:part", ROOT_INO, b"again")
    change(fs, "copy/deep/copy/")
    fs.write_bytes("again/new", NEW)
    fs.drop_clone(fs.resolve("part").ino)
    fs.sync()
    fs.store.close()  # a crash: no checkpoint
    report = vfs.check(store, data=True)
    assert problems(report) == []
    assert report.counts["clones"] == 5  # copy, deep with the two that were in it, again
    with vfs.open(store) as fs:
        assert fs.replayed_records > 5


def test_a_store_in_use_is_checked_as_of_its_last_checkpoint(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.clone("two", ROOT_INO, b"again")
        change(fs, "again/copy/")
        fs.checkpoint()
        fs.drop_clone(fs.resolve("copy").ino)
        assert problems(check_committed(fs, data=True)) == []
        fs.create_snapshot("three")
        fs.rollback("one")
        fs.write_bytes("after", NEW)
        fs.checkpoint()
        assert problems(check_committed(fs, data=True)) == []


def test_a_store_of_which_one_snapshot_is_shown_is_checked_as_a_whole(store: Path) -> None:
    with vfs.open(store, snapshot="one") as fs:
        report = check_storage(fs.store.storage)
    assert problems(report) == []
    assert report.counts["snapshots"] == 2


def test_a_clone_that_was_removed_while_a_file_of_it_is_open_is_no_damage(store: Path) -> None:
    fs = vfs.open(store)
    held = fs.resolve("part/long").ino
    fs.open(held, 0)
    empty(fs, "part")
    fs.checkpoint()
    assert problems(check_committed(fs)) == []
    assert fs.read(held, 0, 10) == OLD[:10]
    fs.store.close()
    assert problems(vfs.check(store)) == []


def test_what_lay_around_a_cloned_folder_is_no_damage(store: Path) -> None:
    """A clone of a folder has rows of all that the snapshot had, and nobody sees what they lead to."""
    with vfs.open(store) as fs:
        fs.clone("two:a", ROOT_INO, b"inner")  # beside two clones, as that snapshot has it
        fs.clone("two:copy/a", fs.resolve("inner").ino, b"other")
        fs.create_snapshot("three")
        fs.clone("three:inner/other", ROOT_INO, b"last")
        fs.drop_clone(fs.resolve("copy").ino)
        fs.drop_clone(fs.resolve("part").ino)
        fs.drop_clone(fs.resolve("inner").ino)
        fs.checkpoint()
        assert problems(check_committed(fs)) == []


def test_a_clone_that_came_and_went_between_two_checkpoints_leaves_no_row(store: Path) -> None:
    with vfs.open(store) as fs:
        fs.checkpoint()
        fs.clone("one", ROOT_INO, b"short")
        empty(fs, "short")
        fs.checkpoint()
        assert problems(check_committed(fs)) == []


def empty(fs: FileSystem, folder: str) -> None:
    """As `rm -rf` would."""
    for name in fs.listdir(folder):
        path = f"{folder}/{name.decode()}"
        if stat.S_ISDIR(fs.resolve(path, follow=False).mode):
            empty(fs, path)
        else:
            fs.remove(path)
    fs.remove(folder)


class LifeWithClones(RandomLife):
    """One in which folders are cloned too, and clones are removed as folders are."""

    def _clone(self) -> None:
        name = self._name()
        if name is None or len(self.fs.table.clones()) > 4:
            return
        folders = [""] + [
            entry.decode()
            for entry in self.fs.listdir(f"/.snapshots/{name}")
            if self.fs.resolve(f"/.snapshots/{name}/{entry.decode()}").is_directory
        ]
        folder = self.rng.choice(folders)
        source = f"{name}:{folder}" if folder else name
        self.fs.clone(source, self._folder_number(), self.rng.choice((b"a-clone", b"b-clone")))

    def _drop(self) -> None:
        trees = [self.fs.table.trees.get(tree) for tree in self.fs.table.clones()]
        if trees:
            tree = self.rng.choice(trees)
            assert tree is not None
            root = self.fs.get(number_of(tree.id, tree.root))
            if self.rng.random() < 0.5:
                self.fs.drop_clone(root.ino)
            else:
                self._empty(root.parent, self._name_in(root.parent, root.ino))

    def _listed(self, folder: int) -> list[tuple[bytes, int]]:
        found: list[tuple[bytes, int]] = []
        cookie = DOTS
        while rows := self.fs.readdir(folder, cookie):
            found += [(name, ino) for name, ino, _, _ in rows]
            cookie = rows[-1][2]
        return found

    def _name_in(self, folder: int, ino: int) -> bytes:
        return next(name for name, number in self._listed(folder) if number == ino)

    def _empty(self, folder: int, name: bytes) -> None:
        found = self.fs.lookup(folder, name)
        if not found.is_directory:
            self.fs.unlink(folder, name)
            return
        for inner, _ in self._listed(found.ino):
            self._empty(found.ino, inner)
        self.fs.rmdir(folder, name)

    def prune(self) -> None:
        """A part of what can go."""
        with suppress(VfsError):
            work = self.fs.begin_prune()
            for _ in range(self.rng.randint(0, 3)):
                self.fs.begin_slice(work)
                self.fs.run_slice(work)
                self.fs.end_slice(work)


@pytest.mark.parametrize("seed", range(6))
def test_no_life_makes_what_fsck_finds_wrong(tmp_path: Path, seed: int) -> None:
    vfs.mkfs(tmp_path / "store")
    fs = vfs.open(tmp_path / "store", pack_workers=0)
    life = LifeWithClones(fs, f"checked {seed}")
    for _ in range(20):
        for _ in range(life.rng.randint(1, 6)):
            life.step()
        life.tree_step()
        fs.checkpoint()
        life.prune()
        assert problems(check_committed(fs)) == []
    for _ in range(10):
        life.step()
    fs.sync()
    fs.store.close()
    assert problems(vfs.check(tmp_path / "store", data=True)) == []


def test_the_time_of_a_check_grows_with_the_trees_and_not_faster(tmp_path: Path) -> None:
    """Each tree takes a third of the first one (whose maps are read). A join without an index would take 100
    times as long with so many files. Trees that show the same as another one take no time."""
    store = tmp_path / "store"
    vfs.mkfs(store)
    with vfs.open(store) as fs:
        for number in range(6000):
            fs.mknod(ROOT_INO, b"f%d" % number, stat.S_IFREG | 0o644)
            fs.write(fs.resolve(f"f{number}").ino, 0, b"some text %d" % number)
    plain = cpu_seconds(store)
    with vfs.open(store) as fs:
        for number in range(10):
            fs.write_bytes(f"f{number}", b"other text")
            fs.create_snapshot(f"s{number}")
    changed = cpu_seconds(store)
    assert changed < 8 * plain + 1.5
    with vfs.open(store) as fs:
        for number in range(100):
            fs.create_snapshot(f"same{number}")
    assert cpu_seconds(store) < 2 * changed + 0.5


def cpu_seconds(store: Path) -> float:
    began = time.process_time()
    assert problems(vfs.check(store)) == []
    return time.process_time() - began
