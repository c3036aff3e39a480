"""`vfs fsck --repair`: what it says, that it asks, its exit codes, and that it keeps its hands off."""

import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vfs as library
from tests.cli.shell import vfs
from tests.repair.stores import digests, make, shown


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with some of everything."""
    return make(tmp_path / "store")


def break_it(store: Path) -> None:
    """Wrong totals would do; this loses a file's name as well."""
    (store / "index.db").unlink()


def test_a_store_without_damage_is_not_touched(store: Path) -> None:
    before = digests(store)
    ran = vfs("fsck", "--repair", "--yes", store)
    assert ran.code == 0, ran.out + ran.err
    assert ran.out.splitlines()[-1] == f"{store}: clean, there is nothing to repair"
    assert digests(store) == before
    assert not (store / "damaged").exists()


def test_without_a_terminal_nothing_is_done_unless_yes_is_said(store: Path) -> None:
    break_it(store)
    before = digests(store)
    ran = vfs("fsck", "--repair", store)
    assert ran.code == 4
    assert "index: index.db is missing: it is made anew from log and packs" in ran.out.splitlines()
    assert ran.out.splitlines()[-1] == (
        f"{store}: errors are left; nothing was changed; repair with: "
        f"vfs fsck {shlex.quote(str(store))} --repair --yes"
    )
    assert digests(store) == before
    ran = vfs("fsck", "--repair", "--yes", store)
    assert ran.code == 1, ran.out + ran.err
    assert ran.err == ""
    assert "damaged/1" in ran.out.splitlines()[-1]
    assert vfs("fsck", "--repair", "--yes", store).code == 0
    assert vfs("fsck", "--data", store).code == 0


def test_one_document_has_the_plan_and_the_result(store: Path) -> None:
    (store / "superblock.json").write_text("{}")
    break_it(store)
    ran = vfs("fsck", "--repair", "--json", store)
    assert (ran.code, ran.document["result"], ran.document["exit_code"]) == (4, "not repaired", 4)
    ran = vfs("fsck", "--repair", "--json", "--yes", store)
    assert (ran.code, ran.document["result"], ran.document["exit_code"]) == (1, "repaired", 1)
    assert set(ran.document["plan"]["groups"]) >= {"index", "superblock", "names"}
    assert ran.document["left"] == []
    assert vfs("fsck", "--repair", "--json", store).document["result"] == "clean"


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C as it waits for an answer: between the question and the wait Python would miss it, and a second
    one would hit whatever the first one has begun."""
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0] != "S":
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [("y\n", 1, "repaired;"), ("n\n", 32, "cancelled; nothing was changed"), ("\x03", 32, "cancelled")],
)
def test_on_a_terminal_it_asks(store: Path, answer: str, code: int, said: str) -> None:
    break_it(store)
    before = digests(store)
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vfs", "fsck", "--repair", store],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    shown_text = b""
    try:
        while b"[y/N]" not in shown_text:
            shown_text += os.read(leader, 4096)
        assert digests(store) == before, "it wrote before it was told to"
        if answer == "\x03":
            interrupt(process)
        else:
            os.write(leader, answer.encode())
        with os.fdopen(leader, "rb", buffering=0) as rest:
            while True:
                try:
                    more = rest.read(4096)
                except OSError:  # EIO: the other side is closed
                    break
                if not more:
                    break
                shown_text += more
        assert process.wait(60) == code, shown_text
    finally:
        process.kill()
        process.wait()
    assert said in shown_text.decode(), shown_text
    assert (digests(store) == before) == (code == 32)


def test_what_cannot_be_repaired_is_refused_in_one_line(tmp_path: Path, store: Path) -> None:
    (tmp_path / "folder").mkdir()
    ran = vfs("fsck", "--repair", "--yes", tmp_path / "folder")
    assert (ran.code, list((tmp_path / "folder").iterdir())) == (8, [])
    assert ran.error.startswith("not a store")
    assert vfs("fsck", "--repair", tmp_path / "nowhere").code == 8
    assert vfs("fsck", "--yes", store).code == 16
    with library.open(store):
        ran = vfs("fsck", "--repair", store)
        assert ran.code == 8
        assert "in use by process" in ran.error


def test_a_newer_store_is_left_alone(store: Path) -> None:
    path = store / "superblock.json"
    path.write_text(path.read_text().replace('"format": ', '"format": 9'))
    break_it(store)
    before = digests(store)
    ran = vfs("fsck", "--repair", "--yes", store)
    assert ran.code == 8
    assert "newer" in ran.error
    assert digests(store) == before


@pytest.mark.mounted
def test_a_mounted_store_has_to_be_unmounted_first(store: Path, tmp_path: Path) -> None:
    point = tmp_path / "point"
    point.mkdir()
    assert vfs("mount", store, point).code == 0
    try:
        for target in (store, point):
            ran = vfs("fsck", "--repair", "--yes", target)
            assert ran.code == 8
            assert "unmount it first" in ran.error
    finally:
        assert vfs("umount", point).code == 0


@pytest.mark.mounted
def test_a_repaired_store_mounts(store: Path, tmp_path: Path) -> None:
    before = shown(store)
    index = bytearray((store / "index.db").read_bytes())
    index[4096 * 2 : 4096 * 3] = os.urandom(4096)  # the table of the store's own numbers
    (store / "index.db").write_bytes(index)
    assert vfs("mount", store, tmp_path).code != 0
    assert vfs("fsck", "--repair", "--yes", store).code == 1
    point = tmp_path / "point"
    point.mkdir()
    assert vfs("mount", store, point).code == 0
    try:
        assert (point / "a/b/small").read_bytes() == b"small"
        assert (point / "a/file").stat().st_size == before["/a/file"][0][5]
        (point / "new").write_text("works")
    finally:
        assert vfs("umount", point).code == 0
    assert vfs("fsck", "--data", store).code == 0
