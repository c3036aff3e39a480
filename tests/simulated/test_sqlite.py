"""SQLite on the simulated disk: committed transactions survive any stop whole, others are not there."""

import errno
import random
from contextlib import suppress

import apsw
import pytest

from tests.simulated.disk import SimulatedStorage
from tests.simulated.faults import Fault

MODES = ["WAL", "TRUNCATE", "DELETE", "PERSIST"]
ROWS = 30


def connected(storage: SimulatedStorage, mode: str) -> apsw.Connection:
    connection = storage.index_connection("index.db", read_only=False)
    connection.pragma("locking_mode", "EXCLUSIVE")
    assert connection.pragma("journal_mode", mode) == mode.lower()
    connection.pragma("synchronous", "FULL")
    return connection


def new_database(seed: int, mode: str) -> tuple[SimulatedStorage, apsw.Connection]:
    """A disk with an empty table, durable with its name."""
    storage = SimulatedStorage(seed)
    connection = connected(storage, mode)
    connection.execute("CREATE TABLE t(number, batch, padding)")
    storage.sync_folder("")
    return storage, connection


def commit(connection: apsw.Connection, batch: int) -> None:
    """One transaction over several pages that overwrites, adds and removes."""
    with connection:
        connection.execute("DELETE FROM t WHERE batch=?", (batch - 2,))
        connection.execute("UPDATE t SET padding=zeroblob(?)", (batch * 13 % 700,))
        connection.executemany("INSERT INTO t VALUES(?, ?, zeroblob(400))", [(n, batch) for n in range(ROWS)])


def batches(storage: SimulatedStorage, mode: str) -> list[int]:
    """The batches that are there; each must be whole and the database sound."""
    connection = connected(storage, mode)
    assert connection.pragma("integrity_check") == "ok"
    found = connection.execute("SELECT batch, count(*) FROM t GROUP BY batch ORDER BY batch").fetchall()
    connection.close()
    storage.close()
    assert all(count == ROWS for _, count in found)
    return [int(str(batch)) for batch, _ in found]


def expected(last: int) -> list[int]:
    return [batch for batch in (last - 1, last) if batch > 0]


@pytest.mark.parametrize("mode", MODES)
def test_commits_survive_a_stop_at_any_call(mode: str) -> None:
    storage, connection = new_database(0, mode)
    start = storage.calls
    for batch in range(1, 5):
        commit(connection, batch)
    total = storage.calls - start
    connection.close()
    storage.close()
    rng = random.Random(mode)
    for stop in sorted(rng.sample(range(total), min(total, 40))):
        storage, connection = new_database(stop, mode)
        storage.stop_at = storage.calls + stop
        committed = 0
        with suppress(apsw.Error):
            for batch in range(1, 5):
                commit(connection, batch)
                committed = batch
        assert storage.stopped
        connection.close()
        for after in (storage.crash(rng), storage.crash(rng), storage.kill()):
            assert batches(after, mode) in (expected(committed), expected(committed + 1)), (stop, committed)
        storage.close()


def test_a_full_disk_fails_the_transaction_and_nothing_else() -> None:
    storage, connection = new_database(0, "TRUNCATE")
    commit(connection, 1)
    storage.space_bytes = storage.space_bytes - storage.room() + 3000
    with pytest.raises(apsw.FullError):
        commit(connection, 2)
    storage.space_bytes *= 10
    commit(connection, 2)
    connection.close()
    assert batches(storage, "TRUNCATE") == [1, 2]


def test_a_failed_sync_fails_the_transaction() -> None:
    storage, connection = new_database(0, "TRUNCATE")
    commit(connection, 1)
    storage.faults.append(Fault(errno.EIO, "sync"))
    with pytest.raises(apsw.IOError):
        commit(connection, 2)
    connection.close()
    assert batches(storage.kill(), "TRUNCATE") == [1]
    storage.close()
