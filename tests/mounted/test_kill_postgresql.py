"""kill -9 of the daemon under PostgreSQL: its own checks afterwards, and each commit a client was told of."""

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounted.killing import kill_amid, seeds
from tests.mounted.mounting import MountedStore
from tests.mounted.postgresql import Cluster, needs_postgresql
from tests.mounted.programs import needs_root

pytestmark = [pytest.mark.mounted, needs_root, needs_postgresql]

DATABASE = "bank"
CLIENTS = 4
WITNESSES = 2
ROWS = 100_000  # more than anybody inserts before the daemon dies

INVARIANTS = """
SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
       (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)
"""


@pytest.fixture
def open_store() -> Iterator[MountedStore]:
    """A mounted store that everybody may use, in a folder that everybody can reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        mounted = MountedStore(folder)
        mounted.mount("allow_other")
        try:
            yield mounted
        except BaseException:
            mounted.abandon()
            raise
        mounted.finish()


class Witness:
    """A client that inserts numbered rows, each its own transaction, and notes whose commit has returned."""

    def __init__(self, cluster: Cluster, folder: Path, number: int, first: int) -> None:
        self._number = number
        self._first = first
        script = folder / f"witness-{number}.sql"
        script.write_text(
            "\\set ON_ERROR_STOP on\n"
            + "".join(
                f"INSERT INTO witness VALUES ({number}, {n}, repeat('{n} ', {n % 300}));\n\\echo {n}\n"
                for n in range(first, first + ROWS)
            )
        )
        self._noted = folder / f"witness-{number}.out"
        self._noted.unlink(missing_ok=True)
        command = cluster.client("psql", "-XqAt", "-d", DATABASE, "-f", str(script))
        self._process = cluster.start_program(command, self._noted)

    def wait_for_a_commit(self) -> None:
        """Return when the first of its rows is acknowledged."""
        end = time.monotonic() + 60
        while not re.search(r"^\d+$", self._noted.read_text(), re.MULTILINE):
            assert self._process.poll() is None, self._noted.read_text()
            assert time.monotonic() < end, "the server commits nothing"
            time.sleep(0.01)

    def last_commit(self) -> int:
        """The last row whose commit had returned when the connection ended."""
        self._process.communicate(timeout=60)
        assert self._process.returncode != 0, "it can only end with the server"
        rows = re.findall(r"^(\d+)$", self._noted.read_text(), re.MULTILINE)
        return int(rows[-1]) if rows else self._first - 1

    def check(self, cluster: Cluster, committed: int) -> int:
        """Every acknowledged row is there, whole, with none missing before it; returns the last one there."""
        sql = f"""SELECT count(*), coalesce(max(number), 0), count(*) FILTER (WHERE content <>
                  repeat(number || ' ', number % 300)) FROM witness WHERE client = {self._number}"""
        count, last, wrong = map(int, cluster.query(sql, DATABASE).split("|"))
        assert count == last >= committed
        assert wrong == 0
        return last


def start_bench(cluster: Cluster, seed: int) -> subprocess.Popen[str]:
    options = ("--client", f"{CLIENTS}", "--jobs=2", "--time=600", "--no-vacuum", f"--random-seed={seed}")
    return cluster.start_program(cluster.client("pgbench", *options, DATABASE))


def wait_for_transactions(cluster: Cluster, bench: subprocess.Popen[str], before: int) -> None:
    """Return when pgbench has committed some, after so many of earlier rounds."""
    end = time.monotonic() + 60
    while int(cluster.query("SELECT count(*) FROM pgbench_history", DATABASE)) <= before:
        assert bench.poll() is None, bench.communicate()
        assert time.monotonic() < end, "pgbench commits nothing"
        time.sleep(0.01)


def transactions(bench: subprocess.Popen[str]) -> int:
    """How many transactions pgbench was told are committed."""
    said, _ = bench.communicate(timeout=60)
    found = re.search(r"transactions actually processed: (\d+)", said)
    assert found, said
    return int(found[1])


def prepare(cluster: Cluster) -> None:
    cluster.create()
    with cluster.running():
        cluster.query(f"CREATE DATABASE {DATABASE}")
        cluster.query(
            "CREATE TABLE witness (client int, number int, content text, PRIMARY KEY (client, number))",
            DATABASE,
        )
        cluster.run(cluster.client("pgbench", "--initialize", "--scale=1", "--quiet", DATABASE))


def test_commits_survive_and_the_database_is_sound(open_store: MountedStore, tmp_path: Path) -> None:
    folder = open_store.path.parent
    cluster = Cluster(open_store.path / "data", folder / "server")
    prepare(cluster)
    history = 0
    last = [0] * WITNESSES
    for seed in seeds(2):
        with cluster.running():
            bench = start_bench(cluster, seed)
            witnesses = [Witness(cluster, folder, number, last[number] + 1) for number in range(WITNESSES)]
            for witness in witnesses:
                witness.wait_for_a_commit()
            wait_for_transactions(cluster, bench, history)
            kill_amid(open_store, seed, least_seconds=1.0, most_seconds=3.0)
            cluster.crash()
            history += transactions(bench)
            committed = [witness.last_commit() for witness in witnesses]
        open_store.clear()
        open_store.mount(*open_store.options)
        with cluster.running():
            last = [witness.check(cluster, row) for witness, row in zip(witnesses, committed, strict=True)]
            accounts, tellers, branches, deltas = cluster.query(INVARIANTS, DATABASE).split("|")
            assert accounts == tellers == branches == deltas
            there = int(cluster.query("SELECT count(*) FROM pgbench_history", DATABASE))
            assert there >= history
            history = there
            cluster.check_structure(DATABASE)
        cluster.check_pages()
    print(f"{history} transactions and {sum(last)} rows after {len(seeds(2))} kills")
    assert history > 0
    assert min(last) > 0
