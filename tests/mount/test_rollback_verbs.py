"""The verb `rollback` on a store that is not mounted: what fails changes nothing, who leaves ends nothing."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pyfuse3
import pytest
import trio
import trio.testing

import vfs
from vfs.errors import IndexUnwritten, MountError, NoSpace, SnapshotError, StoreError
from vfs.limits import ROOT_INO
from vfs.mount import invalidation
from vfs.mount.adapter import Adapter
from vfs.mount.control import Progress
from vfs.mount.options import MountOptions
from vfs.mount.pages import Pages
from vfs.mount.rollback_verbs import RollbackVerbs


class Kernel:
    """What the daemon tells the kernel, which may take its time."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.answers = threading.Event()
        self.answers.set()
        self.unknown: dict[int, int] = {}
        """How often it is asked for an inode before it has it: a program has yet to take our answer."""

    def forget_name(self, directory: int, name: bytes) -> None:
        self._tell((directory, name))

    def forget_inode(self, node: int) -> None:
        if self.unknown.get(node, 0):
            self.unknown[node] -= 1
            raise FileNotFoundError(node)
        self._tell(node)

    def _tell(self, what: object) -> None:
        self.told.append(what)
        assert self.answers.wait(60)


class NoPages(Pages):
    """A kernel that keeps nothing."""

    def __init__(self) -> None:
        self.refuses = 0
        self.asked = 0

    async def hand_over(self) -> None:
        self.asked += 1
        if self.refuses:
            self.refuses -= 1
            raise MountError("the kernel did not hand over all")


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[vfs.FileSystem]:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as opened:
        opened.autopilot = False
        opened.write_bytes("/file", b"then")
        opened.write_bytes("/same", b"same")
        opened.create_snapshot("then")
        opened.write_bytes("/file", b"now")
        yield opened


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(pyfuse3, "invalidate_entry", made.forget_name)
    monkeypatch.setattr(pyfuse3, "invalidate_inode", made.forget_inode)
    return made


@pytest.fixture
def adapter(fs: vfs.FileSystem) -> Adapter:
    return Adapter(fs, MountOptions())


@pytest.fixture
def pages() -> NoPages:
    return NoPages()


@pytest.fixture
def verbs(adapter: Adapter, pages: NoPages) -> RollbackVerbs:
    return RollbackVerbs(
        adapter.fs,
        None,
        pages=pages,
        committer=adapter.committer,
        nodes=adapter.nodes,
        listings=adapter.listings,
    )


async def known(adapter: Adapter, name: bytes) -> int:
    """A file that the kernel knows and has open; its node id."""
    node = int((await adapter.lookup(ROOT_INO, name, None)).st_ino)  # type: ignore[arg-type]
    await adapter.open(node, 2, None)  # type: ignore[arg-type]
    return node


async def roll_back(verbs: RollbackVerbs, name: str = "then") -> str:
    return str((await verbs.rollback({"name": name}, Progress()))["kept_as"])


async def test_the_kernel_hears_of_all_before_it_is_answered(
    fs: vfs.FileSystem, adapter: Adapter, verbs: RollbackVerbs, kernel: Kernel, pages: NoPages
) -> None:
    file, same = await known(adapter, b"file"), await known(adapter, b"same")
    kept_as = await roll_back(verbs)
    assert fs.read_bytes("/file") == b"then"
    assert fs.read_bytes(f"/.snapshots/{kept_as}/file") == b"now"
    assert kernel.told[-1] == same  # the suspect comes last
    assert file in kernel.told
    assert adapter.nodes.number(same) == same
    assert await adapter.write(same, 0, b"SAME") == 4  # it is none any more
    assert pages.asked == 2


async def test_a_program_that_has_yet_to_take_our_answer_is_waited_for(
    adapter: Adapter, verbs: RollbackVerbs, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invalidation, "LOOK_SECONDS", 0.0)
    file = await known(adapter, b"file")
    kernel.unknown[file] = 1000  # as long as the machine has better things to do
    await roll_back(verbs)
    assert file in kernel.told


@pytest.mark.parametrize("error", [NoSpace("full"), IndexUnwritten("broken")])
async def test_a_commit_that_fails_changes_nothing_and_says_so(
    fs: vfs.FileSystem,
    adapter: Adapter,
    verbs: RollbackVerbs,
    kernel: Kernel,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise error

    file = await known(adapter, b"file")
    with monkeypatch.context() as patch:
        patch.setattr(fs, "commit_checkpoint", fail)
        with pytest.raises(SnapshotError, match="nothing was rolled back"):
            await roll_back(verbs)
    assert fs.read_bytes("/file") == b"now"
    assert [snapshot.name for snapshot in fs.snapshots()] == ["then"]
    assert kernel.told == []
    assert not adapter.nodes.renumbered
    assert adapter.nodes.number(file) == file
    assert not adapter.committer.checkpointing.locked()
    await roll_back(verbs)
    assert fs.read_bytes("/file") == b"then"


async def test_nothing_is_done_for_a_name_that_is_none(
    fs: vfs.FileSystem, verbs: RollbackVerbs, pages: NoPages
) -> None:
    with pytest.raises(SnapshotError, match="no snapshot is called 'never'"):
        await roll_back(verbs, "never")
    with pytest.raises(StoreError, match="bad request"):
        await verbs.rollback({"name": 7}, Progress())
    assert pages.asked == 0


async def test_pages_that_were_refused_are_told_once(
    fs: vfs.FileSystem, verbs: RollbackVerbs, kernel: Kernel, pages: NoPages
) -> None:
    pages.refuses = 1
    await roll_back(verbs)
    assert fs.read_bytes("/file") == b"then"
    pages.refuses = 2
    with pytest.raises(MountError, match="did not hand over"):
        await roll_back(verbs)
    assert fs.read_bytes("/file") == b"then"


async def test_whoever_leaves_ends_nothing_and_the_next_one_waits(
    fs: vfs.FileSystem, adapter: Adapter, verbs: RollbackVerbs, kernel: Kernel
) -> None:
    same = await known(adapter, b"same")
    kernel.answers.clear()
    ended: list[str] = []

    async def impatient(scope: trio.CancelScope) -> None:
        with scope:
            await roll_back(verbs)
        ended.append("impatient")

    async def next_one() -> None:
        await roll_back(verbs)
        ended.append("next")

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(impatient, scope)
        while not kernel.told:  # noqa: ASYNC110 -- a thread tells
            await trio.sleep(0.01)
        scope.cancel()
        nursery.start_soon(next_one)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert ended == []
        assert adapter.nodes.renumbered  # the suspect is one as long as nobody has dropped its pages
        assert not adapter.committer.checkpointing.locked()
        await adapter.committer.checkpoint(anyway=True)  # what requests may wait for goes on
        kernel.answers.set()
    assert ended == ["impatient", "next"]
    assert adapter.nodes.number(same) == same


async def test_the_end_of_the_mount_ends_the_telling(
    adapter: Adapter, verbs: RollbackVerbs, kernel: Kernel
) -> None:
    await known(adapter, b"same")
    kernel.answers.clear()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(roll_back, verbs)
            while not kernel.told:  # noqa: ASYNC110 -- a thread tells
                await trio.sleep(0.01)
            verbs.end()
    told = len(kernel.told)
    kernel.answers.set()
    await trio.sleep(0.05)
    assert len(kernel.told) == told
