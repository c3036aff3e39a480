"""Chains on data: SQLite, 100-byte appends, fio, readers beside writers.

Promises that what was to be written is there. It never measures the time of a whole step.
"""

import json
import os
import sqlite3
import time
from contextlib import closing
from typing import Any

from bench.chains import Chain, Scene, Step, at_most
from bench.programs import ProgramFailed, run

SYNCED = {"host": 0.7}
"""The budget of an append with its fsync."""
SEQUENTIAL = {"btrfs": at_most(2), "floor": 0.5}
RANDOM_READ = {"floor": 0.4}
LINE = b"2026-11-27T18:00:00.000Z INFO worker-7 request 5f3a9c07d1: served from the cache in 13 ms\n".rjust(
    100
)


# -- SQLite --------------------------------------------------------------------------------------


def _insert(scene: Scene, rows: int, *, together: bool) -> float:
    """Rows a second, into a new table; rollback journal and full syncs, as SQLite does by default."""
    with closing(sqlite3.connect(scene / f"together-{together}.db", isolation_level=None)) as database:
        database.execute("create table event (id integer primary key, at real, text text)")
        begin = time.perf_counter()
        if together:
            database.execute("begin")
        for number in range(rows):
            database.execute(
                "insert into event (at, text) values (?, ?)", (number * 0.1, f"event {number} " * 5)
            )
        if together:
            database.execute("commit")
        seconds = time.perf_counter() - begin
        (found,) = database.execute("select count(*) from event").fetchone()
    if found != rows:
        raise ProgramFailed(f"SQLite has {found} rows instead of {rows}")
    return rows / seconds


SQLITE = Chain(
    "sqlite",
    (
        Step(
            "sqlite, one transaction",
            lambda scene: _insert(scene, scene.amounts.inserts, together=True),
            unit="inserts/s",
        ),
        Step(
            "sqlite, a transaction each",
            lambda scene: _insert(scene, scene.amounts.lone_inserts, together=False),
            SYNCED,
            unit="inserts/s",
        ),
    ),
)


# -- appends -------------------------------------------------------------------------------------


def _append(scene: Scene) -> float:
    path = scene / "server.log"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        begin = time.perf_counter()
        for _ in range(scene.amounts.appends):
            os.write(descriptor, LINE)
        seconds = time.perf_counter() - begin
    finally:
        os.close(descriptor)
    if path.stat().st_size != len(LINE) * scene.amounts.appends:
        raise ProgramFailed(f"the log has {path.stat().st_size} bytes")
    return scene.amounts.appends / seconds


APPENDS = Chain("appends", (Step("100-byte appends", _append, unit="appends/s"),))


# -- fio -----------------------------------------------------------------------------------------


def _fio(scene: Scene, *options: str) -> list[dict[str, Any]]:
    """The jobs of a run of fio, as it reports them; half of the data that it writes can be compressed."""
    manner = (
        "--ioengine=libaio",
        "--fallocate=none",
        "--refill_buffers=1",
        "--buffer_compress_percentage=50",
    )
    told = run(["fio", "--output-format=json", "--group_reporting=1", *manner, *options], scene.folder)
    return list(json.loads(told[told.index("{") :])["jobs"])


def _for_a_while(scene: Scene) -> tuple[str, ...]:
    return (f"--runtime={scene.amounts.fio_seconds * 1000:.0f}ms", "--time_based=1")


def _sequential(scene: Scene, kind: str, depth: int) -> float:
    """MiB/s, through the kernel's page cache, and for writes to the end of the fsync."""
    ending = ("--end_fsync=1",) if kind == "write" else ()
    size = f"--size={scene.amounts.file_bytes}"
    options = (f"--filename=depth-{depth}", f"--rw={kind}", "--bs=1M", f"--iodepth={depth}", size, *ending)
    (job,) = _fio(scene, "--name=sequential", *options)
    done = job[kind]
    if done["io_bytes"] != scene.amounts.file_bytes:
        raise ProgramFailed(f"fio has done {done['io_bytes']} bytes")
    return float(done["io_bytes"] / 2**20 / (max(1, done["runtime"]) / 1000))


def _random(scene: Scene, kind: str, depth: int) -> float:
    """Requests a second of 4 KiB each, past the kernel's page cache (O_DIRECT)."""
    options = (f"--filename=depth-{depth}", f"--rw={kind}", "--bs=4k", f"--iodepth={depth}", "--direct=1")
    (job,) = _fio(
        scene, "--name=random", *options, f"--size={scene.amounts.file_bytes}", *_for_a_while(scene)
    )
    return float(job[kind.removeprefix("rand")]["iops"])


def _fio_steps(depth: int) -> tuple[Step, ...]:
    def sequential(kind: str) -> Step:
        name = f"fio sequential {kind}, depth {depth}"
        cold = kind == "read"
        return Step(name, lambda scene: _sequential(scene, kind, depth), SEQUENTIAL, "MiB/s", cold=cold)

    def random(kind: str, goals: dict[str, float]) -> Step:
        name = f"fio random {kind}, depth {depth}"
        return Step(name, lambda scene: _random(scene, f"rand{kind}", depth), goals, "IOPS")

    return (sequential("write"), sequential("read"), random("read", RANDOM_READ), random("write", {}))


FIO = Chain("fio", (*_fio_steps(1), *_fio_steps(16)), programs=("fio",))


# -- many at once --------------------------------------------------------------------------------

READERS, WRITERS = 4, 2
MIXED_FILE = "read-by-all"


def _lay_out(scene: Scene) -> float:
    """The file that the readers read; MiB/s."""
    size = f"--size={scene.amounts.file_bytes}"
    (job,) = _fio(
        scene, "--name=lay", f"--filename={MIXED_FILE}", "--rw=write", "--bs=1M", size, "--end_fsync=1"
    )
    return float(job["write"]["bw_bytes"] / 2**20)


def _mixed(scene: Scene) -> tuple[float, float]:
    """4 KiB reads a second of all readers, and MiB/s of all writers, past the kernel's page cache."""
    manner = ("--new_group=1", "--direct=1", f"--size={scene.amounts.file_bytes}", *_for_a_while(scene))
    read, write = _fio(
        scene,
        *(
            "--name=read",
            *manner,
            f"--filename={MIXED_FILE}",
            "--rw=randread",
            "--bs=4k",
            f"--numjobs={READERS}",
        ),
        *(
            "--name=write",
            *manner,
            "--filename_format=w.$jobnum",
            "--rw=write",
            "--bs=128k",
            f"--numjobs={WRITERS}",
        ),
    )
    return float(read["read"]["iops"]), float(write["write"]["bw_bytes"] / 2**20)


MIXED = Chain(
    "mixed",
    (
        Step("fio writes what is to be read", _lay_out, SEQUENTIAL, "MiB/s"),
        Step("4 readers beside 2 writers: read", lambda scene: _mixed(scene)[0], RANDOM_READ, "IOPS"),
        Step("4 readers beside 2 writers: written", lambda scene: _mixed(scene)[1], unit="MiB/s"),
    ),
    programs=("fio",),
)
