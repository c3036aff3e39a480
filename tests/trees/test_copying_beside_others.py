"""Copies in slices, with all that may happen between two of them: changes, checkpoints, passes, an end."""

import random
from collections.abc import Callable

import pytest

import vfs
from tests.trees.inside import content, names, room_for, told
from vfs.errors import Exists, NoEntry, NoSpace
from vfs.limits import MIB
from vfs.numbers import SNAPSHOTS_INO
from vfs.trees import copier as copier_module
from vfs.trees import remover
from vfs.trees.copier import ATTEMPTS, Copier
from vfs.trees.copies import run

FS = vfs.FileSystem


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copier_module, "SLICE_EXTENTS", 4)
    monkeypatch.setattr(copier_module, "SLICE_ENTRIES", 4)
    monkeypatch.setattr(remover, "ROWS", 2)


def scattered(fs: FS, path: str, segments: int = 6) -> None:
    """A file with some extents in each of its segments."""
    ino = fs.write_bytes(path, b"").ino
    for number in range(segments):
        for piece in range(5):
            fs.write(ino, number * 16 * MIB + piece * 20_000, random.Random(number).randbytes(9000))


def folder(fs: FS, path: str) -> int:
    top = fs.make_directory(path)
    for number in range(9):
        fs.write_bytes(f"{path}/{number}", b"%d" % number * 3000)
    fs.make_directory(f"{path}/inner")
    for number in range(5):
        fs.write_bytes(f"{path}/inner/{number}", b"inner %d" % number)
    fs.make_directory(f"{path}/inner/empty")
    fs.link(fs.resolve(f"{path}/1").ino, top.ino, b"link")
    fs.write_bytes(f"{path}/last", b"last")
    return top.ino


def copier(fs: FS, source: str, name: bytes = b"copy", *, replace: bool = False) -> Copier:
    return Copier(fs, fs.resolve(source, follow=False).ino, 1, name, replace=replace)


def copy_with(fs: FS, work: Copier, between: Callable[[int], object]) -> int:
    """Take all steps, or undo them; how often others were let in."""
    count = 0
    try:
        for _ in work.steps():
            fs.table.check_invariants()
            between(count)
            count += 1
    except BaseException:
        for _ in work.undo():
            pass
        check_unheld(fs)
        raise
    check_unheld(fs)
    return count


def check_unheld(fs: FS) -> None:
    """Nothing is open, and nothing without a name is left."""
    held = [inode.ino for inode in fs.table.loaded() if inode.opens or not inode.nlink]
    assert held in ([], [SNAPSHOTS_INO]), "only what is made up"


def test_a_file_is_of_one_moment(fs: FS) -> None:
    scattered(fs, "/file")
    inode = fs.resolve("/file")
    states = [content(fs, inode)]

    def change(count: int) -> None:
        fs.write(inode.ino, count * 3_000_000 + 7, b"changed %d" % count)
        states.append(content(fs, inode))

    assert copy_with(fs, copier(fs, "/file"), change) == ATTEMPTS - 1
    assert content(fs, fs.resolve("/copy")) == states[-1]


def test_a_file_that_changes_once_is_begun_anew(fs: FS) -> None:
    scattered(fs, "/file")
    inode = fs.resolve("/file")

    def change(count: int) -> None:
        if count == 2:
            fs.truncate(inode.ino, 50 * MIB)
            fs.set_xattr(inode.ino, b"user.new", b"attribute")

    assert copy_with(fs, copier(fs, "/file"), change) > 4
    assert told(fs, fs.resolve("/copy").ino) == told(fs, inode.ino)
    assert fs.table.totals.files == 2, "nothing is left of the first attempt"


def test_a_file_that_is_removed_meanwhile(fs: FS) -> None:
    scattered(fs, "/file")
    before = content(fs, fs.resolve("/file"))
    copy_with(fs, copier(fs, "/file"), lambda count: fs.remove("/file") if count == 1 else None)
    assert content(fs, fs.resolve("/copy")) == before
    assert (names(fs), fs.table.totals.files) == ([b"copy"], 1)


def test_checkpoints_passes_and_collections_in_between(fs: FS) -> None:
    folder(fs, "/tree")
    scattered(fs, "/tree/large", 3)
    before = told(fs, fs.resolve("/tree").ino)
    rng = random.Random(7)

    def work(count: int) -> None:
        if count == 5:
            fs.write_bytes("/other", rng.randbytes(50_000))
        rng.choice((fs.checkpoint, fs.flush, fs.collect, fs.roll_log, fs.sync))()

    def work_in_stages(count: int) -> None:
        """A checkpoint that is under way all the time, and a pass between two."""
        if fs.table.tracker.capture is None:
            fs.pack(everything=True)
            fs.begin_checkpoint()
        elif fs.gather_checkpoint():
            fs.sync()
            fs.commit_checkpoint()
            fs.end_checkpoint()

    fs.autopilot = False
    assert copy_with(fs, copier(fs, "/tree"), work) > 10
    copy_with(fs, copier(fs, "/copy", b"second"), work_in_stages)
    if fs.table.tracker.capture is not None:
        fs.abandon_checkpoint()
    for path in ("/copy", "/second"):
        assert told(fs, fs.resolve(path).ino) == before
    fs.flush()
    fs.collect()
    assert told(fs, fs.resolve("/second").ino) == before


def test_a_source_that_goes_while_a_checkpoint_is_gathered(fs: FS) -> None:
    """The chunk that only the copy names from then on must not go with that checkpoint."""
    fs.autopilot = False
    data = random.Random(8).randbytes(300_000)
    ino = fs.write_bytes("/file", data).ino
    fs.open(ino)
    fs.remove("/file")
    fs.seal_log()
    fs.sync()
    fs.begin_checkpoint()
    for _ in Copier(fs, ino, 1, b"copy", replace=False).steps():
        pass
    fs.release(ino)
    while not fs.gather_checkpoint():
        pass
    fs.sync()
    fs.commit_checkpoint()
    fs.end_checkpoint()
    assert fs.read_bytes("/copy") == data
    fs.checkpoint()
    assert fs.read_bytes("/copy") == data


def test_only_what_was_to_go_is_removed(fs: FS) -> None:
    folder(fs, "/tree")
    inner = fs.resolve("/tree/inner").ino
    steps = remover.remove(fs, 1, b"tree", fs.resolve("/tree").ino, [])
    next(steps)
    fs.move("/tree/inner", "/kept")
    fs.write_bytes("/tree/late", b"in time")
    fs.make_directory("/tree/inner")
    for _ in steps:
        pass
    for _ in remover.remove(fs, 1, b"kept", inner + 1, []):
        raise AssertionError("it is another one")
    assert names(fs) == [b"kept"]
    assert len(fs.listdir("/kept")) == 6


def test_two_who_remove_the_same(fs: FS) -> None:
    for number in range(20):
        top = folder(fs, "/tree")
        deep = fs.make_directory("/tree/inner/empty/deep").ino
        fs.write_bytes("/tree/inner/empty/deep/file", b"x")
        steps = remover.remove(fs, 1, b"tree", top, [])
        for _ in zip(steps, range(number), strict=False):
            pass
        if fs.exists("/tree/inner"):
            for _ in remover.remove(fs, top, b"inner", fs.resolve("/tree/inner").ino, []):
                pass
        for _ in steps:
            pass
        assert (names(fs), fs.table.in_memory(deep)) == ([], None)


def test_a_folder_that_changes_meanwhile(fs: FS) -> None:
    top = folder(fs, "/tree")

    def change(count: int) -> None:
        if count == 1:
            fs.remove("/tree/0")  # was a file, comes again as a folder
            fs.make_directory("/tree/0")
            fs.write_bytes("/tree/0/in it", b"x")
            fs.move("/tree/1", "/tree/moved")
            fs.write_bytes("/tree/7", b"changed")
        if fs.exists("/copy"):
            raise AssertionError("it is not whole")

    copy_with(fs, copier(fs, "/tree"), change)
    made = told(fs, fs.resolve("/copy").ino)
    expected = told(fs, top)
    extra = set(made) - set(expected)
    assert extra <= {b"/1"}, "what was there at some moment"
    for path in set(expected):
        assert made[path].get("content") == expected[path].get("content"), path


def test_a_name_that_becomes_another_kind_meanwhile(fs: FS) -> None:
    folder(fs, "/tree")

    def change(count: int) -> None:
        if count == 12 and fs.resolve("/tree/inner").is_directory:
            fs.move("/tree/inner", "/away")
            fs.write_bytes("/tree/inner", b"a file now")
        if count == 13:
            fs.remove("/tree/inner")
            fs.move("/away", "/tree/inner")

    copy_with(fs, copier(fs, "/tree"), change)
    made, expected = told(fs, fs.resolve("/copy").ino), told(fs, fs.resolve("/tree").ino)
    assert {path: entry.get("content") for path, entry in made.items()} == {
        path: entry.get("content") for path, entry in expected.items()
    }


def test_a_removed_source(fs: FS) -> None:
    folder(fs, "/tree")

    def remove(count: int) -> None:
        if count == 2:
            for _ in remover.remove(fs, 1, b"tree", fs.resolve("/tree").ino, []):
                pass

    with pytest.raises(NoEntry, match="was removed meanwhile"):
        copy_with(fs, copier(fs, "/tree"), remove)
    assert (names(fs), fs.table.totals.files, fs.table.totals.directories) == ([], 0, 1)


def hidden(fs: FS) -> bytes:
    return next(name for name in names(fs) if name.startswith(b".vfs-copy-"))


def test_a_copy_that_is_moved_into_its_own_source(fs: FS) -> None:
    folder(fs, "/tree")

    def move(count: int) -> None:
        if count == 2:
            fs.rename(1, hidden(fs), fs.resolve("/tree").ino, b"found")

    with pytest.raises(NoEntry, match="moved away"):
        copy_with(fs, copier(fs, "/tree"), move)
    assert names(fs) == [b"tree"]
    assert len(fs.listdir("/tree/found")) == len(fs.listdir("/tree")) - 1, "it is the user's now"


def test_a_copy_that_is_removed_while_it_is_made(fs: FS) -> None:
    folder(fs, "/tree")

    def remove(count: int) -> None:
        if count == 3:
            for _ in remover.remove(fs, 1, hidden(fs), fs.lookup(1, hidden(fs)).ino, []):
                pass

    with pytest.raises(NoEntry):
        copy_with(fs, copier(fs, "/tree"), remove)
    assert names(fs) == [b"tree"]


@pytest.mark.parametrize("source", ["/tree", "/file"])
def test_a_place_that_is_taken_meanwhile(fs: FS, source: str) -> None:
    folder(fs, "/tree")
    scattered(fs, "/file")

    def take(count: int) -> None:
        if count == 1:
            fs.write_bytes("/copy", b"somebody's")

    with pytest.raises(Exists, match="by now"):
        copy_with(fs, copier(fs, source), take)
    assert fs.read_bytes("/copy") == b"somebody's"
    assert names(fs) == [b"copy", b"file", b"tree"]


SOURCES = ["/tree", "/file", "/small", "/link"]


@pytest.mark.parametrize("old", [None, *SOURCES])
@pytest.mark.parametrize("source", SOURCES)
def test_an_end_between_any_two_slices_leaves_nothing_or_all(fs: FS, source: str, old: str | None) -> None:
    """Interrupted at each place in turn, at last let through. What it replaces is there until then."""
    folder(fs, "/tree")
    scattered(fs, "/file", 3)
    fs.write_bytes("/small", b"small")
    fs.symlink(1, b"link", b"small")
    if old is not None:
        run(fs, copier(fs, old, b"target"))
    expected = told(fs, fs.resolve(source, follow=False).ino)
    for stop in range(1000):
        before = told(fs, 1)

        def end(count: int, stop: int = stop) -> None:
            if count == stop:
                raise KeyboardInterrupt

        work = copier(fs, source, b"target", replace=True)
        try:
            copy_with(fs, work, end)
        except KeyboardInterrupt:
            done = "/target" if fs.find(1, b"target") is not None else "/"
            if told(fs, fs.resolve(done, follow=False).ino) == expected:
                assert old is not None, "it was only what it replaced that had to go"
                assert names(fs) == [b"file", b"link", b"small", b"target", b"tree"]
            else:
                after = told(fs, 1)
                after[b""]["times"] = before[b""]["times"]
                assert after == before
        else:
            break
    assert told(fs, fs.resolve("/target", follow=False).ino) == expected
    assert names(fs) == [b"file", b"link", b"small", b"target", b"tree"]
    fs.checkpoint()
    files = sum(1 for entry in told(fs, 1).values() if not entry["mode"].startswith("0o40"))
    links = sum(1 for path, entry in told(fs, 1).items() if entry["same as"] != path)
    assert fs.table.totals.files == files - links


def test_no_room_at_any_record_leaves_nothing(fs: FS, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(fs, "/tree")
    scattered(fs, "/tree/large", 3)
    large = fs.resolve("/tree/last")
    for number in range(12):
        fs.set_xattr(large.ino, b"user.%d" % number, bytes(60_000))
    before = fs.table.totals.to_meta()
    need_room = fs.need_room
    for most in range(1000):
        monkeypatch.setattr(fs, "need_room", room_for(need_room, most))
        try:
            run(fs, copier(fs, "/tree"))
        except NoSpace:
            assert names(fs) == [b"tree"]
            assert fs.table.totals.to_meta() == before
            check_unheld(fs)
            fs.table.check_invariants()
        else:
            break
    assert most > 20
    assert told(fs, fs.resolve("/copy").ino) == told(fs, fs.resolve("/tree").ino)
