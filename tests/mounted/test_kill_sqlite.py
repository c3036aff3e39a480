"""kill -9 of the daemon under several writers of SQLite, with each kind of journal."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.mounted.killing import kill_amid, seeds
from tests.mounted.mounting import MountedStore
from tests.mounted.programs import start_python

pytestmark = pytest.mark.mounted

WRITERS = 3
ACCOUNTS = 200
MONEY = 100

# Moves money between accounts, several moves a transaction, with a row of its own that is numbered; prints
# the number of each transaction whose commit has returned.
WRITER = """
import random, sqlite3, sys, time
name, writer, seed, accounts = sys.argv[1], *map(int, sys.argv[2:])
chance = random.Random(seed)
database = sqlite3.connect(name, timeout=60, isolation_level=None)
database.execute("PRAGMA synchronous=FULL")
database.execute("PRAGMA cache_size=20")  # pages go out in the midst of a transaction
sql = "SELECT coalesce(max(number), 0) FROM move WHERE writer = ?"
[number] = database.execute(sql, (writer,)).fetchone()
while True:
    number += 1
    database.execute("BEGIN IMMEDIATE")
    for _ in range(chance.randrange(1, 60)):
        amount = chance.randrange(1, 50)
        for account, change in ((chance.randrange(accounts), -amount), (chance.randrange(accounts), amount)):
            database.execute("UPDATE account SET money = money + ? WHERE id = ?", (change, account))
    noise = chance.randbytes(chance.randrange(9000))
    database.execute("INSERT INTO move VALUES (?, ?, ?, ?)", (writer, number, sum(noise), noise))
    if number % 5 == 0:
        database.execute("DELETE FROM noise")
        database.executemany("INSERT INTO noise VALUES (?)", [(chance.randbytes(500),) for _ in range(50)])
    database.execute("COMMIT")
    print(number, flush=True)
    time.sleep(chance.uniform(0.005, 0.03))  # SQLite's locks are not fair: the others get their turn
"""


def create(database: Path, journal: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        assert connection.execute(f"PRAGMA journal_mode={journal}").fetchone() == (journal,)
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, money INTEGER, name TEXT)")
        connection.execute("CREATE INDEX by_money ON account (money)")
        connection.execute(
            "CREATE TABLE move (writer INTEGER, number INTEGER, sum INTEGER, noise BLOB,"
            " PRIMARY KEY (writer, number)) WITHOUT ROWID"
        )
        connection.execute("CREATE TABLE noise (bytes BLOB)")
        rows = [(number, MONEY, "x" * 300) for number in range(ACCOUNTS)]
        connection.executemany("INSERT INTO account VALUES (?, ?, ?)", rows)


def check(database: Path, committed: list[int]) -> int:
    """The database is sound and has every transaction that was acknowledged; returns how many it has."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT sum(money) FROM account").fetchone() == (MONEY * ACCOUNTS,)
        for writer, last_seen in enumerate(committed):
            rows = connection.execute(
                "SELECT number, sum, noise FROM move WHERE writer = ? ORDER BY number", (writer,)
            ).fetchall()
            assert [number for number, _, _ in rows] == list(range(1, len(rows) + 1))
            assert len(rows) >= last_seen
            assert all(total == sum(noise) for _, total, noise in rows)
        [count] = connection.execute("SELECT count(*) FROM move").fetchone()
    return int(count)


@pytest.mark.parametrize(("journal", "usual"), [("wal", 2), ("delete", 2), ("truncate", 1), ("persist", 1)])
def test_each_transaction_that_was_acknowledged_is_there(
    mounted: MountedStore, tmp_path: Path, journal: str, usual: int
) -> None:
    database = mounted.path / "money.db"
    create(database, journal)
    committed = [0] * WRITERS
    count = 0
    for seed in seeds(usual):
        chance = random.Random(seed)
        clients = [
            start_python(
                WRITER, database, f"{n}", f"{chance.randrange(1 << 30)}", f"{ACCOUNTS}", cwd=tmp_path
            )
            for n in range(WRITERS)
        ]
        assert clients[0].stdout is not None
        committed[0] = int(clients[0].stdout.readline())  # one transaction at least, in each round
        kill_amid(mounted, seed, least_seconds=0.1, most_seconds=0.8)
        for number, client in enumerate(clients):
            rest, _ = client.communicate(timeout=60)
            assert client.returncode != 0, "it can only end with the daemon's death"
            committed[number] = max([committed[number], *map(int, rest.split())])
        mounted.clear()
        mounted.mount()
        count = check(database, committed)
    print(f"{count} transactions with journal_mode={journal} after {len(seeds(usual))} kills")
    assert count >= len(seeds(usual))
