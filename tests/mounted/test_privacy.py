"""What one user has is nobody else's: files of the store, control socket, caches, bytes that were deleted."""

import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.mounted.mounting import ROOT, VFS, MountedStore, vfs
from tests.mounted.programs import NOBODY, needs_root, python

pytestmark = [pytest.mark.mounted, needs_root]

ANNE, BERT = 1001, 1002
SECRET = b"a secret of Anne's "

REFUSED = """
def refused(*attempts):
    for number, attempt in enumerate(attempts):
        try:
            got = attempt()
        except PermissionError:
            continue
        raise AssertionError(f"attempt {number} was allowed: {got!r}")
"""


def as_user(uid: int, source: str, cwd: Path) -> str:
    """Run a small program as that user; it has `refused`, os and mmap."""
    return python(f"import os, mmap\n{REFUSED}\nbecome({uid}, {uid})\n{source}", cwd=cwd)


# --- files of the store ----------------------------------------------------------------------------------


def modes(store: Path) -> dict[str, str]:
    """What is wider than for the owner alone, or narrower."""
    wrong = {}
    for path in [store, *store.rglob("*")]:
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue  # what is not needed any more goes beside us
        expected = 0o700 if stat.S_ISDIR(mode) else 0o600
        if stat.S_IMODE(mode) != expected:
            wrong[str(path.relative_to(store))] = oct(mode)
    return wrong


@pytest.mark.parametrize("umask", [0, 0o77])
def test_files_of_a_store_are_for_its_owner_alone(tmp_path: Path, umask: int) -> None:
    """Through the life of a store: made, written, packed, imported into, collected, repaired, upgraded."""
    store, point, source = tmp_path / "store", tmp_path / "mnt", tmp_path / "source"
    seen: set[str] = set()

    def run(*words: str | Path, exit_code: int = 0) -> None:
        done = subprocess.run(
            [*VFS, *map(str, words)], cwd=ROOT, umask=umask, timeout=60, check=False, capture_output=True
        )
        assert done.returncode == exit_code, done
        assert modes(store) == {}
        seen.update(path.name.rstrip("0123456789") for path in store.rglob("*"))

    point.mkdir()
    source.mkdir()
    for number in range(5):
        (source / f"{number}").write_bytes(os.urandom(20_000))
    run("mkfs", store)
    run("mount", store, point)
    try:
        (point / "file").write_bytes(os.urandom(3 << 20))
        run("flush", point)
        run("import", point, source, "/in")
        (point / "file").unlink()
        run("gc", point)
        assert not modes(store)
    finally:
        vfs("umount", point)
    assert modes(store) == {}
    for pack in (store / "packs").iterdir():
        os.truncate(pack, 100)
    run("fsck", "--repair", "--yes", store, exit_code=1)
    assert {"index.db", "index.db-wal", "index.db-shm", "vfs.log", "control.sock", "lock", "chunk-"} <= seen

    with tarfile.open(ROOT / "tests" / "formats" / "v1-crashed.tar.gz") as archive:
        archive.extractall(tmp_path / "old", filter="fully_trusted")
    store = tmp_path / "old" / "store"
    os.chmod(store, 0o700)
    run("flush", store)


# --- who may come in --------------------------------------------------------------------------------------


def test_others_do_not_come_in_unless_they_are_let(mounted: MountedStore) -> None:
    (mounted.path / "file").write_bytes(b"x")
    mounted.path.chmod(0o777)
    as_user(
        NOBODY,
        "refused(lambda: os.listdir('.'), lambda: os.stat('file'), lambda: open('file'))",
        mounted.path,
    )


def test_the_control_socket_hears_its_owner_alone(mounted: MountedStore, tmp_path: Path) -> None:
    """The folders above are made as wide as they can be by accident, and then the socket too."""
    (mounted.path / "name of a file").write_bytes(b"x")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o005 != 0o005 and folder.is_relative_to("/tmp"):
            folder.chmod(0o755)
    mounted.store.parent.chmod(0o755)
    mounted.store.chmod(0o755)
    ask = f"""
import contextlib, json, socket, sys
from vfs.cli import main
import vfs.cli.info, vfs.cli.fsck
become({NOBODY})
def ask(verb):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect("control.sock")
        with contextlib.suppress(BrokenPipeError):  # refused before it was heard
            client.sendall(json.dumps({{"verb": verb}}).encode() + b"\\n")
        return client.makefile().readline()
"""
    refusal = ask + REFUSED + "refused(lambda: ask('info'))\nsys.exit(main(['info', '.']) - 1)"
    done = python(refusal, cwd=mounted.store)
    assert done == ""
    (mounted.store / "control.sock").chmod(0o666)
    for verb in ("info", "fsck", "await_close", "no such verb"):
        said = python(ask + f"print(ask({verb!r}))", cwd=mounted.store)
        assert (
            said.strip()
            == '{"error":"permission denied: only the store\'s owner and root may ask its daemon"}'
        )
    assert os.listdir(mounted.path) == ["name of a file"]
    for folder in (mounted.store, tmp_path):
        folder.chmod(0o700)


# --- caches ------------------------------------------------------------------------------------------------


def test_what_one_may_not_see_no_cache_shows(shared: MountedStore) -> None:
    """The kernel keeps names, attributes and pages of what Anne has just used; Bert gets nothing of it."""
    shared.path.chmod(0o777)
    as_user(
        ANNE,
        f"""
os.umask(0)
with open("own", "wb") as file: file.write({SECRET!r} * 1000)
os.chmod("own", 0o600)
os.setxattr("own", "user.note", {SECRET!r})
os.mkdir("folder", 0o700); os.mkdir("open", 0o755)
for name in ("folder/file", "open/file"):
    with open(name, "wb") as file: file.write({SECRET!r})
os.symlink("secret target", "folder/link")
# All of it is in the caches now.
assert open("own", "rb").read(); os.getxattr("own", "user.note"); os.listdir("folder"); os.stat("folder/file")
os.readlink("folder/link"); os.scandir("folder"); os.path.exists("folder/missing")
""",
        shared.path,
    )
    bert = """
refused(
    lambda: open("own").read(), lambda: open("own", "a"), lambda: os.getxattr("own", "user.note"),
    lambda: os.listdir("folder"), lambda: os.stat("folder/file"), lambda: os.stat("folder/missing"),
    lambda: os.readlink("folder/link"), lambda: open("folder/file"), lambda: os.link("own", "mine"),
    lambda: os.rename("open/file", "mine"), lambda: os.rename("own", "open/own"),
    lambda: os.unlink("folder/file"), lambda: os.setxattr("own", "user.x", b""),
    lambda: os.chmod("own", 0o666),
    lambda: os.truncate("own", 0), lambda: os.chdir("folder"), lambda: os.open("folder/new", os.O_CREAT),
)
"""
    # Nobody may put a name of another's file elsewhere where that is protected; where it is not, it may be.
    if Path("/proc/sys/fs/protected_hardlinks").read_text().strip() != "1":
        bert = bert.replace('lambda: os.link("own", "mine"),', "")
    as_user(BERT, bert, shared.path)
    shared.remount()
    as_user(BERT, bert, shared.path)


def test_changes_of_permission_count_at_once(shared: MountedStore) -> None:
    shared.path.chmod(0o755)
    file, folder = shared.path / "file", shared.path / "folder"
    file.write_bytes(SECRET)
    folder.mkdir()
    (folder / "inside").write_bytes(SECRET)
    allowed = "assert open('file', 'rb').read(); assert os.listdir('folder'); os.stat('folder/inside')"
    closed = "refused(lambda: open('file'), lambda: os.listdir('folder'), lambda: os.stat('folder/inside'))"
    for mode, folder_mode, program in ((0o644, 0o755, allowed), (0o600, 0o700, closed)) * 2:
        file.chmod(mode)
        folder.chmod(folder_mode)
        as_user(BERT, program, shared.path)
    os.chown(file, BERT, BERT)
    os.chown(folder, BERT, BERT)
    as_user(BERT, allowed, shared.path)
    os.chown(file, ANNE, ANNE)
    os.chown(folder, ANNE, ANNE)
    as_user(BERT, closed, shared.path)
    as_user(BERT, "assert not os.path.exists('later')", shared.path)  # the kernel notes that it is missing
    (shared.path / "later").write_bytes(b"now")
    as_user(BERT, "assert open('later').read() == 'now'", shared.path)


# --- bytes that were there -----------------------------------------------------------------------------


def test_nobody_reads_what_another_has_deleted(shared: MountedStore) -> None:
    """Room that is used again, holes, tails and what lies past the end hold zeros or one's own bytes."""
    shared.path.chmod(0o777)
    writes = f"""
for number in range(8):
    with open(f"anne{{number}}", "wb") as file: file.write({SECRET!r} * 20_000)
    os.chmod(f"anne{{number}}", 0o600)
"""
    reads = f"""
def look(name, size):
    with open(name, "rb") as file:
        data = file.read()
        assert len(data) == size, (len(data), size)
        assert {SECRET[:9]!r} not in data, "a secret in " + name
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        assert {SECRET[:9]!r} not in mapped[:]
    direct = os.open(name, os.O_RDONLY | os.O_DIRECT)
    page = mmap.mmap(-1, 1 << 20)
    while got := os.readv(direct, [page]):
        assert {SECRET[:9]!r} not in page[:got]
        if got < 1 << 20: break
    os.close(direct)
def fresh(name):
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
hole = fresh("hole"); os.ftruncate(hole, 3_000_000); look("hole", 3_000_000)
tail = fresh("tail"); os.write(tail, b"b" * 100); os.ftruncate(tail, 10); os.ftruncate(tail, 9000)
look("tail", 9000)
gap = fresh("gap"); os.pwrite(gap, b"b", 0); os.pwrite(gap, b"b", 2_000_001); look("gap", 2_000_002)
short = fresh("short"); os.write(short, b"b" * 4097)
mapped = mmap.mmap(short, 4097); mapped[4096] = 66
try: mapped[5000]
except IndexError: pass
os.ftruncate(short, 8192); look("short", 8192); assert mmap.mmap(short, 8192)[4097:] == bytes(4095)
os.posix_fallocate(fresh("room"), 0, 500_000); look("room", 500_000)
"""
    deletes = "for number in range(8): os.unlink(f'anne{number}')"
    regrows = """
for number in range(8):
    os.truncate(f"anne{number}", 10); os.truncate(f"anne{number}", 100_000)
    data = open(f"anne{number}", "rb").read()
    assert data[10:] == bytes(99_990)
"""
    for end in (regrows + deletes, deletes):
        as_user(ANNE, writes, shared.path)
        vfs("flush", shared.path)  # into packs, whose room comes back
        as_user(ANNE, writes + end, shared.path)
        vfs("gc", shared.path)
        as_user(BERT, reads, shared.path)
        shared.remount()
        as_user(BERT, reads, shared.path)


def test_the_log_and_the_list_of_processes_tell_nothing_of_files(tmp_path: Path) -> None:
    store, point = tmp_path / "store", tmp_path / "mnt"
    point.mkdir()
    vfs("mkfs", store)
    vfs("mount", store, point, "-o", "debug")
    try:
        pid = int((store / "lock").read_text())
        (point / "name-of-a-secret").write_bytes(SECRET * 1000)
        os.setxattr(point / "name-of-a-secret", "user.attribute-of-it", SECRET)
        assert (point / "name-of-a-secret").read_bytes()
        (point / "name-of-a-secret").rename(point / "other-secret")
        vfs("flush", point)
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        assert [word for word in command if word.startswith(b"/") and b"python" not in word] == [
            os.fsencode(store),
            os.fsencode(point),
        ]
    finally:
        vfs("umount", point)
    logged = b"".join(path.read_bytes() for path in store.glob("vfs.log*"))
    assert b"mounted" in logged
    for word in (b"secret", b"attribute-of-it"):
        assert word not in logged
