"""Packing beside real programs: data comes back whole, costs little, and its space is given back."""

import json
import os
import random
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mounted.conftest import Mounter
from tests.mounted.mounting import ROOT, VFS, MountedStore, vfs
from tests.mounted.programs import start_python, wait_for
from tests.mounted.taken_room import taken_bytes
from tests.waiting import eventually

pytestmark = pytest.mark.mounted

MIB = 1 << 20
WORDS = [f"word{number:04}" for number in range(2000)]


def text(seed: int, size: int) -> bytes:
    """Words in an order that the seed decides; compresses to about a third."""
    chance = random.Random(seed)
    return " ".join(chance.choices(WORDS, k=size // 8)).encode()


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def glimpse(mounted: MountedStore) -> dict[str, Any]:
    """What is known at once: while the disk is slow, figures of earlier or none."""
    facts: dict[str, Any] = json.loads(vfs("info", "--json", mounted.path))
    return facts


def info(mounted: MountedStore) -> dict[str, Any]:
    """All figures of this moment, for which a checkpoint has to be waited for where the disk is slow."""
    end = time.monotonic() + 60
    while (figures := mounted.info())["changes_since_checkpoint"]:
        assert time.monotonic() < end, figures
    return figures


def start_flush(mounted: MountedStore) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*VFS, "flush", str(mounted.path)], cwd=ROOT, stdout=quiet, stderr=quiet)


def make_tree(folder: Path) -> dict[str, bytes]:
    """Files of all sizes and kinds of content; returns what is in them."""
    contents = {
        "empty": b"",
        "tiny": b"a few bytes",
        "text": text(1, 3 * MIB),
        "noise": noise(1, 2 * MIB + 17),
        "runs": noise(2, 70_000) + b"\0" * 300_000 + text(2, 100_000) + b"\xff" * 100_000 + noise(3, 5),
        **{f"small/{number}": text(number, 100 + 37 * number) for number in range(300)},
    }
    (folder / "small").mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    with open(folder / "sparse", "wb") as sparse:
        for offset in (0, 40 * MIB, 100 * MIB):
            sparse.seek(offset)
            sparse.write(noise(offset, 100_000))
    contents["sparse"] = (folder / "sparse").read_bytes()
    return contents


def check(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        assert (folder / name).read_bytes() == content, name


def test_data_comes_back_from_packs(mount_store: Mounter) -> None:
    mounted = mount_store("nopack")  # by itself, on a machine that is slow enough
    contents = make_tree(mounted.path)
    blocks = {name: os.stat(mounted.path / name).st_blocks for name in contents}
    figures = info(mounted)
    assert figures["packs"] == 0
    logical = sum(map(len, contents.values()))
    assert figures["logical_bytes"] == logical
    assert 0 < figures["allocated_bytes"] < logical - 99 * MIB
    vfs("flush", mounted.path)
    packed = info(mounted)
    assert packed["backlog_bytes"] == 0
    assert packed["packs"] >= 1
    assert packed["logical_bytes"] == logical
    assert packed["allocated_bytes"] == figures["allocated_bytes"]
    assert packed["stored_bytes"] < 0.75 * packed["allocated_bytes"]
    log_bytes = sum(path.stat().st_size for path in mounted.store.glob("log/*"))
    assert log_bytes < MIB, "every chunk that held data is gone"
    for again in range(2):
        check(mounted.path, contents)
        assert {name: os.stat(mounted.path / name).st_blocks for name in contents} == blocks
        mounted.fsck()
        if not again:
            mounted.remount()
    with open(mounted.path / "noise", "rb") as file:
        for seed in range(200):
            offset = random.Random(seed).randrange(2 * MIB)
            assert os.pread(file.fileno(), 4096, offset) == contents["noise"][offset : offset + 4096]


def test_packed_files_can_be_changed(mounted: MountedStore) -> None:
    content = bytearray(text(5, 4 * MIB))
    path = mounted.path / "file"
    path.write_bytes(content)
    vfs("flush", mounted.path)
    mounted.remount()
    chance = random.Random(5)
    with open(path, "r+b") as file:
        for _ in range(50):
            offset, piece = chance.randrange(len(content) - 9000), chance.randbytes(chance.randrange(1, 9000))
            file.seek(offset)
            file.write(piece)
            content[offset : offset + len(piece)] = piece
    assert path.read_bytes() == content
    vfs("flush", mounted.path)
    mounted.kill()
    mounted.mount()
    assert path.read_bytes() == content
    os.truncate(path, MIB + 1)
    vfs("flush", mounted.path)
    mounted.remount()
    assert path.read_bytes() == content[: MIB + 1]


def test_copies_cost_almost_nothing(mounted: MountedStore) -> None:
    content = noise(7, 16 * MIB)
    (mounted.path / "one").write_bytes(content)
    vfs("flush", mounted.path)
    before = info(mounted)["stored_bytes"]
    (mounted.path / "two").write_bytes(content)
    (mounted.path / "moved").write_bytes(
        content[: 5 * MIB] + b"some bytes in the middle" + content[5 * MIB :]
    )
    vfs("flush", mounted.path)
    figures = info(mounted)
    assert figures["stored_bytes"] - before < 2 * MIB
    assert figures["ratios"]["deduplication"] > 2.7
    os.unlink(mounted.path / "one")
    mounted.remount()
    assert (mounted.path / "two").read_bytes() == content
    assert (mounted.path / "moved").read_bytes()[-11 * MIB :] == content[-11 * MIB :]


def test_deleting_everything_gives_the_space_back(mount_store: Mounter) -> None:
    mounted = mount_store("nopack")  # on a small disk so much is collected as soon as it is dead
    make_tree(mounted.path)
    (mounted.path / "large").write_bytes(noise(8, 24 * MIB))
    vfs("flush", mounted.path)
    assert taken_bytes(mounted.store) > 24 * MIB
    subprocess.run(["find", mounted.path, "-mindepth", "1", "-delete"], check=True)
    would = json.loads(vfs("gc", "--dry-run", "--json", mounted.path))
    assert would["dry_run"] is True
    assert taken_bytes(mounted.store) > 24 * MIB
    vfs("gc", mounted.path)
    assert info(mounted)["dead_bytes"] == 0
    assert taken_bytes(mounted.store) < MIB
    (mounted.path / "again").write_bytes(noise(8, MIB))
    vfs("flush", mounted.path)
    mounted.remount()
    assert (mounted.path / "again").read_bytes() == noise(8, MIB)


def test_what_shares_a_pack_with_the_dead_stays(mounted: MountedStore) -> None:
    for number in range(40):
        (mounted.path / f"{number}").write_bytes(noise(number, MIB // 2))
    vfs("flush", mounted.path)
    with open(mounted.path / "0", "rb") as held:
        for number in range(40):
            if number % 10:
                (mounted.path / f"{number}").unlink()
        (mounted.path / "0").unlink()
        vfs("gc", mounted.path)
        assert held.read() == noise(0, MIB // 2), "unlinked but open"
    assert taken_bytes(mounted.store) < 4 * MIB
    mounted.remount()
    for number in (10, 20, 30):
        assert (mounted.path / f"{number}").read_bytes() == noise(number, MIB // 2)


@pytest.mark.parametrize("seed", range(6))
def test_a_kill_while_packing_loses_nothing(mounted: MountedStore, seed: int) -> None:
    chance = random.Random(seed)
    contents: dict[str, bytes] = {}
    for round_ in range(2):
        for number in range(12):
            name = f"{round_}-{number}"
            contents[name] = text(seed * 100 + number, 2 * MIB) if number % 3 else noise(number, 2 * MIB)
            (mounted.path / name).write_bytes(contents[name])
        flushing = start_flush(mounted)
        time.sleep(chance.uniform(0.25, 0.9))
        mounted.kill()
        flushing.wait(timeout=60)
        mounted.fsck()
        mounted.mount()
        check(mounted.path, contents)
    vfs("flush", mounted.path)
    left = {path.name for path in (mounted.store / "packs").iterdir()}
    assert not [name for name in left if name.startswith("new-")]
    mounted.remount()
    check(mounted.path, contents)


@pytest.mark.serial
def test_an_unmount_does_not_wait_for_packing(mount_store: Mounter) -> None:
    mounted = mount_store("nopack", "compression=zstd:19")
    contents = {f"{number}": text(number, 8 * MIB) for number in range(6)}
    for name, content in contents.items():
        (mounted.path / name).write_bytes(content)
    flushing = start_flush(mounted)
    eventually(lambda: any((mounted.store / "packs").glob("new-*")))
    assert flushing.poll() is None, "packing at this level takes many seconds"
    begin = time.monotonic()
    mounted.unmount()
    assert time.monotonic() - begin < 8
    assert flushing.wait(timeout=60) == 1
    mounted.fsck()
    mounted.mount("compression=zstd:1")
    check(mounted.path, contents)
    vfs("flush", mounted.path)
    assert info(mounted)["backlog_bytes"] == 0


WRITER = """
import os, random, sys, time
longest = 0
with open("stream", "wb", buffering=0) as file:
    for number in range(int(sys.argv[1])):
        data = random.Random(number).randbytes(1 << 20)
        begin = time.perf_counter()
        file.write(data)
        if number % 8 == 7:
            os.fsync(file.fileno())
        longest = max(longest, time.perf_counter() - begin)
print(longest)
"""


@pytest.mark.serial
def test_a_writer_is_slowed_down_before_the_backlog_passes_its_limit(mount_store: Mounter) -> None:
    mounted = mount_store("backlog=64M")
    size = 400
    writer = start_python(WRITER, str(size), cwd=mounted.path)
    largest = 0
    while writer.poll() is None:
        largest = max(largest, glimpse(mounted).get("backlog_bytes", 0))
        time.sleep(0.1)
    longest = float(wait_for(writer))
    sync = glimpse(mounted)["upkeep"]["sync"]["max_us"] / 1e6
    print(f"backlog up to {largest // MIB} MiB, one write up to {longest:.2f} s, one sync {sync:.2f} s")
    assert largest < 160 * MIB, "at the limit writers are as slow as packing"
    assert longest < 3 + 2 * sync, "besides the sync that is under way and its own"
    mounted.remount()
    with open(mounted.path / "stream", "rb") as file:
        for number in range(size):
            assert file.read(MIB) == noise(number, MIB), number


MAPPER = """
import mmap, select, sys, zlib
with open("mapped", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
    rounds = 0
    while rounds < 3 or not select.select([sys.stdin], [], [], 0)[0]:
        print(zlib.crc32(mapping), flush=True)
        mapping.madvise(mmap.MADV_DONTNEED)
        rounds += 1
"""


def test_who_maps_a_file_sees_the_same_while_it_is_packed(mounted: MountedStore) -> None:
    (mounted.path / "mapped").write_bytes(text(9, 24 * MIB))
    mounted.remount("nopack")
    mapper = start_python(MAPPER, cwd=mounted.path)
    assert mapper.stdout is not None
    first = mapper.stdout.readline()
    vfs("flush", mounted.path)
    vfs("gc", mounted.path)
    subprocess.run(
        ["dd", "of=mapped", "iflag=nocache", "count=0", "conv=notrunc"],
        cwd=mounted.path,
        check=True,
        capture_output=True,
    )
    assert set(wait_for(mapper).splitlines(keepends=True)) == {first}
    mounted.remount()
    assert (mounted.path / "mapped").read_bytes() == text(9, 24 * MIB)


@pytest.mark.serial
def test_a_stat_is_answered_while_packing(mount_store: Mounter) -> None:
    mounted = mount_store("attr_timeout=0", "nopack")
    for number in range(24):
        (mounted.path / f"{number}").write_bytes(text(number, 4 * MIB))
    flushing = start_flush(mounted)
    taken: list[float] = []
    while flushing.poll() is None:
        begin = time.perf_counter()
        os.stat(mounted.path / "0")
        taken.append(time.perf_counter() - begin)
    assert flushing.returncode == 0
    taken.sort()
    p99 = taken[len(taken) * 99 // 100]
    typical = statistics.median(taken)
    print(f"stat while packing: p50 {typical * 1e6:.0f} µs, p99 {p99 * 1e6:.0f} µs of {len(taken)}")
    assert len(taken) > 500
    assert p99 < 0.05


def test_files_change_while_they_are_packed(mounted: MountedStore) -> None:
    chance = random.Random(11)
    contents = {f"{number}": bytearray(text(number, MIB)) for number in range(16)}
    for name, content in contents.items():
        (mounted.path / name).write_bytes(content)
    flushing = [start_flush(mounted) for _ in range(2)]
    while any(process.poll() is None for process in flushing):
        name, content = chance.choice(list(contents.items()))
        offset, piece = chance.randrange(MIB - 5000), chance.randbytes(chance.randrange(1, 5000))
        with open(mounted.path / name, "r+b", buffering=0) as file:
            file.seek(offset)
            file.write(piece)
            os.fsync(file.fileno())
        content[offset : offset + len(piece)] = piece
    assert [process.returncode for process in flushing] == [0, 0]
    mounted.remount()
    for name, content in contents.items():
        assert (mounted.path / name).read_bytes() == content
    vfs("flush", mounted.path)
    mounted.remount()
    for name, content in contents.items():
        assert (mounted.path / name).read_bytes() == content


def test_packing_happens_by_itself(mount_store: Mounter) -> None:
    mounted = mount_store("backlog=64M")
    for number in range(12):
        (mounted.path / f"{number}").write_bytes(text(number, 8 * MIB))
    end = time.monotonic() + 60
    while not glimpse(mounted).get("packs"):
        assert time.monotonic() < end, "nothing was packed"
        time.sleep(0.2)
    mounted.remount("nopack")
    for number in range(12):
        assert (mounted.path / f"{number}").read_bytes() == text(number, 8 * MIB)


def test_compression_is_an_option_of_the_mount(mount_store: Mounter) -> None:
    stored = {}
    for level in ("none", "zstd:1", "zstd:12"):
        mounted = mount_store(f"compression={level}")
        (mounted.path / "text").write_bytes(text(1, 4 * MIB))
        vfs("flush", mounted.path)
        figures = info(mounted)
        assert figures["options"]["compression"] == level
        stored[level] = figures["pack_bytes"]
        mounted.remount()
        assert (mounted.path / "text").read_bytes() == text(1, 4 * MIB)
    assert stored["none"] > 3.9 * MIB
    assert stored["zstd:12"] < stored["zstd:1"] < 3 * MIB
