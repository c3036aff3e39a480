"""SQLite on the mount: WAL journal, several processes, and a daemon killed amid transactions."""

import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import run, start_python, wait_for

pytestmark = pytest.mark.mounted

ACCOUNTS = 50
TOTAL = 100 * ACCOUNTS

# Moves money between accounts, several moves a transaction, and prints the number of each transaction
# whose commit has returned. With synchronous=FULL that is a promise.
CLIENT = """
import random, sqlite3, sys
name, seed = sys.argv[1:]
chance = random.Random(int(seed))
database = sqlite3.connect(name, timeout=30, isolation_level=None)
database.execute("PRAGMA synchronous=FULL")
number = database.execute("SELECT max(number) FROM moves").fetchone()[0] or 0
while True:
    number += 1
    database.execute("BEGIN IMMEDIATE")
    for _ in range(chance.randrange(1, 40)):
        amount = chance.randrange(1, 50)
        database.execute("UPDATE account SET money = money - ? WHERE id = ?", (amount, chance.randrange(50)))
        database.execute("UPDATE account SET money = money + ? WHERE id = ?", (amount, chance.randrange(50)))
    database.execute("INSERT INTO moves VALUES (?, ?)", (number, chance.randbytes(chance.randrange(3000))))
    database.execute("COMMIT")
    print(number, flush=True)
"""


def create(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, money INTEGER)")
        connection.execute("CREATE TABLE moves (number INTEGER PRIMARY KEY, noise BLOB)")
        connection.executemany(
            "INSERT INTO account VALUES (?, 100)", [(number,) for number in range(ACCOUNTS)]
        )


def check(database: Path, committed: int) -> int:
    """The database is sound and has every transaction that was acknowledged; returns the last one it has."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT sum(money) FROM account").fetchone() == (TOTAL,)
        count, last = connection.execute("SELECT count(*), coalesce(max(number), 0) FROM moves").fetchone()
    assert count == last >= committed
    return int(last)


def test_integrity_after_the_daemon_is_killed_in_transactions(mounted: MountedStore) -> None:
    database = mounted.path / "money.db"
    create(database)
    committed = 0
    for round_number in range(5):
        client = start_python(CLIENT, database, str(round_number), cwd=mounted.store)
        assert client.stdout is not None
        for _ in range(5):  # transactions at least, in each round
            committed = int(client.stdout.readline())
        time.sleep(random.Random(round_number).uniform(0.1, 0.6))
        mounted.kill_daemon()
        rest, _ = client.communicate(timeout=60)
        assert client.returncode != 0, "it can only end with a disk I/O error"
        committed = max([committed, *map(int, rest.split())])
        mounted.clear()
        mounted.mount()
        committed = check(database, committed)
    assert committed > 20


def test_two_processes_share_a_database(mounted: MountedStore) -> None:
    database = mounted.path / "money.db"
    create(database)
    # Shared memory of the WAL index is a mapped file on the mount, and the locks are byte ranges of it.
    add = """
    import sqlite3, sys
    database = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
    for _ in range(150):
        database.execute("BEGIN IMMEDIATE")
        [money] = database.execute("SELECT money FROM account WHERE id = 0").fetchone()
        database.execute("UPDATE account SET money = ? WHERE id = 0", (money + 1,))
        database.execute("COMMIT")
    """
    clients = [start_python(add, database, cwd=mounted.path) for _ in range(2)]
    for client in clients:
        wait_for(client)
    assert (
        run("sqlite3", database, "SELECT money FROM account WHERE id = 0; PRAGMA integrity_check")
        == "400\nok\n"
    )
    mounted.remount()
    assert run("sqlite3", database, "SELECT money FROM account WHERE id = 0") == "400\n"


def test_rollback_journal_after_a_killed_client(mounted: MountedStore) -> None:
    database = mounted.path / "money.db"
    create(database)
    run("sqlite3", database, "PRAGMA journal_mode=DELETE")
    client = start_python(CLIENT, database, "9", cwd=mounted.path)
    assert client.stdout is not None
    committed = int(client.stdout.readline())
    time.sleep(0.3)
    client.send_signal(signal.SIGKILL)
    rest, _ = client.communicate()
    check(database, max([committed, *map(int, rest.split())]))
