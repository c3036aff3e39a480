"""Workloads on file data: bulk writes and reads, random reads, appends with and without fsync.

Promises that a write counts when the daemon has it (close hands over what the kernel kept back), shows what
fsync and packing add apart, and that data to be read is packed where the target packs. It never reads what
it wrote itself without dropping the kernel's copy first, nor begins while data of before waits for packing.
"""

import contextlib
import mmap
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator

from zstandard import ZstdCompressor

from bench.sizes import MIB
from bench.workload import BOTH, Cold, Measured, Place, Row, Workload

PAGE_BYTES = 4096
RECORD_BYTES = 100
FORGET = frozenset({"forget"})
NOXATTR = frozenset({"noxattr"})
NOPACK = frozenset({"nopack"})
ZSTD_LEVEL = 3


@contextlib.contextmanager
def payload(place: Place, kind: str) -> Iterator[memoryview]:
    """The data of that kind, its pages present, so that a write does not pay for making or mapping them."""
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    length = place.sizes.sequential_bytes
    with (
        mmap.mmap(place.payloads[kind], length, flags=flags, prot=mmap.PROT_READ) as mapped,
        memoryview(mapped) as view,
    ):
        yield view


def write_all(descriptor: int, data: memoryview) -> None:
    for start in range(0, len(data), MIB):
        piece = data[start : start + MIB]
        if os.write(descriptor, piece) != len(piece):
            raise OSError("short write")


def upkeep(place: Place, verb: str) -> None:
    """Make the target do `verb` now and wait for it; nothing where it has no such verb."""
    if command := place.upkeep.get(verb):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def _pack_what_is_there(place: Place) -> None:
    """What earlier workloads wrote must not be packed on the time of this one."""
    upkeep(place, "flush")


def _bulk_path(place: Place) -> str:
    return f"{place.folder}/bulk"


def _write(kind: str) -> Callable[[Place], Measured]:
    def measure(place: Place) -> Measured:
        path = _bulk_path(place)
        with payload(place, kind) as data:
            size_mb = len(data) / 1e6
            begin = time.perf_counter()
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            write_all(descriptor, data)
            os.close(descriptor)
            handed_over = time.perf_counter()
            descriptor = os.open(path, os.O_WRONLY)
            os.fsync(descriptor)
            os.close(descriptor)
            synced = time.perf_counter()
            operations = len(data) // MIB
        name = f"write-{kind}"
        figures = {name: size_mb / (handed_over - begin), f"{name}+fsync": size_mb / (synced - begin)}
        return Measured(operations, figures)

    return measure


def _write_and_pack(place: Place) -> Measured:
    """A long write at the rate that can be kept up for ever: the clock stops when all of it is packed."""
    with payload(place, "text") as data:
        begin = time.perf_counter()
        descriptor = os.open(_bulk_path(place), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        write_all(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)
        upkeep(place, "flush")
        seconds = time.perf_counter() - begin
        return Measured(len(data) // MIB, {"write-text-packed": len(data) / 1e6 / seconds})


def _compress_text(place: Place) -> Measured:
    """zstd of the same text, in memory on one core: what a compressing file system cannot beat."""
    compressor = ZstdCompressor(level=ZSTD_LEVEL)
    stored = 0
    with payload(place, "text") as data:
        sample = data[: 64 * MIB]
        size_bytes = len(sample)
        begin = time.perf_counter()
        for start in range(0, size_bytes, MIB):
            stored += len(compressor.compress(sample[start : start + MIB]))
        seconds = time.perf_counter() - begin
        sample.release()
    rate = size_bytes / 1e6 / seconds
    return Measured(
        size_bytes // MIB,
        {
            "write-text": rate,
            "write-text+fsync": rate,
            "write-text-packed": rate,
            "stored/size": stored / size_bytes,
        },
    )


def _remove_bulk(place: Place) -> None:
    os.unlink(_bulk_path(place))
    upkeep(place, "gc")


# -- reading -------------------------------------------------------------------------------------


def _read_path(place: Place, kind: str) -> str:
    return f"{place.shared}/read-{kind}"


def _make_file(path: str, place: Place, kind: str) -> None:
    with payload(place, kind) as data:
        descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        write_all(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)


def _prepare_packed(kind: str) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        path = _read_path(place, kind)
        if not os.path.exists(path) or os.stat(path).st_size != place.sizes.sequential_bytes:
            _make_file(path, place, kind)
        upkeep(place, "flush")

    return prepare


def _prepare_raw(place: Place) -> None:
    _make_file(_bulk_path(place), place, "text")


def _forget_own_pages(descriptor: int) -> None:
    """Drop the kernel's pages of this file alone: those of the store behind it stay."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _read_sequentially(name: str, path_of: Callable[[Place], str]) -> Callable[[Place], Measured]:
    def measure(place: Place) -> Measured:
        descriptor = os.open(path_of(place), os.O_RDONLY)
        _forget_own_pages(descriptor)
        buffer = bytearray(MIB)
        total = 0
        begin = time.perf_counter()
        while length := os.readv(descriptor, [buffer]):
            total += length
        seconds = time.perf_counter() - begin
        os.close(descriptor)
        if total != place.sizes.sequential_bytes:
            raise OSError(f"read {total} bytes of {place.sizes.sequential_bytes}")
        return Measured(total // MIB, {name: total / 1e6 / seconds})

    return measure


def _read_randomly(name: str, path_of: Callable[[Place], str]) -> Callable[[Place], Measured]:
    def measure(place: Place) -> Measured:
        pages = range(place.sizes.sequential_bytes // PAGE_BYTES)
        offsets = [page * PAGE_BYTES for page in random.Random(7).sample(pages, place.sizes.random_reads)]
        descriptor = os.open(path_of(place), os.O_RDONLY)
        _forget_own_pages(descriptor)
        begin = time.perf_counter()
        for offset in offsets:
            os.pread(descriptor, PAGE_BYTES, offset)
        seconds = time.perf_counter() - begin
        os.close(descriptor)
        return Measured(len(offsets), {name: len(offsets) / seconds})

    return measure


# -- appending -----------------------------------------------------------------------------------


def _append_and_sync(place: Place) -> Measured:
    count = place.sizes.synced_appends
    data = os.urandom(PAGE_BYTES * count)
    descriptor = os.open(f"{place.folder}/journal", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    begin = time.perf_counter()
    for start in range(0, len(data), PAGE_BYTES):
        os.write(descriptor, data[start : start + PAGE_BYTES])
        os.fsync(descriptor)
    seconds = time.perf_counter() - begin
    os.close(descriptor)
    return Measured(count, {"append+fsync": count / seconds})


def _append_small(name: str) -> Callable[[Place], Measured]:
    def measure(place: Place) -> Measured:
        count = place.sizes.small_appends
        record = os.urandom(RECORD_BYTES)
        descriptor = os.open(f"{place.folder}/log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        begin = time.perf_counter()
        for _ in range(count):
            os.write(descriptor, record)
        os.close(descriptor)
        return Measured(count, {name: count / (time.perf_counter() - begin)})

    return measure


def _write_rows(kind: str, synced: Row) -> tuple[Row, Row]:
    return (Row(f"write-{kind}", "MB/s", at_least=0.5), synced)


SUFFIX = {"random": "", "text": "-text"}
"""Of the names of workloads that read that kind of data: what is stored as it is, and what is compressed."""


def _packed_reads(kind: str) -> tuple[Workload, ...]:
    suffix, prepare = SUFFIX[kind], _prepare_packed(kind)

    def path_of(place: Place) -> str:
        return _read_path(place, kind)

    names = [f"{name}{suffix}" for name in ("read-sequential", "read-4k")]
    sequential, small = names
    cached_sequential, cached_small = (f"{name}-store-cached" for name in names)
    return (
        Workload(
            sequential,
            (Row(sequential, "MB/s", at_least=0.5),),
            _read_sequentially(sequential, path_of),
            prepare,
            cold=Cold.STORE,
            floor_options=FORGET,
        ),
        Workload(
            cached_sequential,
            (Row(cached_sequential, "MB/s"),),
            _read_sequentially(cached_sequential, path_of),
            prepare,
            targets=("floor", "vfs"),
            floor_options=FORGET,
        ),
        Workload(
            small,
            (Row(small, "/s", at_least=0.4, budget_modes=BOTH),),
            _read_randomly(small, path_of),
            prepare,
            cold=Cold.STORE,
            modes=BOTH,
            floor_options=FORGET,
        ),
        Workload(
            cached_small,
            (Row(cached_small, "/s"),),
            _read_randomly(cached_small, path_of),
            prepare,
            modes=BOTH,
            targets=("floor", "vfs"),
            floor_options=FORGET,
        ),
    )


WORKLOADS = (
    Workload(
        "write-random",
        _write_rows("random", Row("write-random+fsync", "MB/s", against="host")),
        _write("random"),
        _pack_what_is_there,
        _remove_bulk,
        floor_options=FORGET,
    ),
    Workload(
        "write-text",
        _write_rows("text", Row("write-text+fsync", "MB/s", against="zstd")),
        _write("text"),
        _pack_what_is_there,
        _remove_bulk,
        reference=_compress_text,
        targets=("floor", "host", "vfs", "zstd"),
        floor_options=FORGET,
    ),
    Workload(
        "write-text-packed",
        (Row("write-text-packed", "MB/s", against="zstd", at_least=0.8),),
        _write_and_pack,
        _pack_what_is_there,
        _remove_bulk,
        reference=_compress_text,
        targets=("floor", "vfs", "zstd"),
        floor_options=FORGET,
    ),
    Workload(
        "read-sequential-log",
        (Row("read-sequential-log", "MB/s"),),
        _read_sequentially("read-sequential-log", _bulk_path),
        _prepare_raw,
        _remove_bulk,
        cold=Cold.STORE,
        floor_options=FORGET,
        vfs_options=NOPACK,
    ),
    *_packed_reads("random"),
    *_packed_reads("text"),
    Workload(
        "append+fsync",
        (Row("append+fsync", "/s", against="host", at_least=0.7),),
        _append_and_sync,
        _pack_what_is_there,
    ),
    Workload("append-100", (Row("append-100", "/s"),), _append_small("append-100"), modes=BOTH),
    Workload(
        "append-100-noxattr",
        (Row("append-100-noxattr", "/s"),),
        _append_small("append-100-noxattr"),
        modes=BOTH,
        targets=("floor", "vfs"),
        options=NOXATTR,
    ),
)
