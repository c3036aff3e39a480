"""A crowd of processes on one mount: started together, watched, ended, and everything compared.

Promises that no process of it stays behind, and that what is found is compared with what the processes noted.
Never unmounts or kills the daemon.
"""

import errno
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.mounted import crowd_member
from tests.mounted.acknowledged import is_mixture
from tests.mounted.crowd_games_names import Facts
from tests.mounted.crowd_member import ENOUGH, GAMES
from tests.mounted.crowd_tree import Node, Operation, Tree, apply, describe, empty_tree, survey
from tests.mounted.mounting import ROOT

DEATH = {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO}
"""What a program gets to see of a daemon that dies."""

SPARE_SECONDS = 60.0
"""How much longer than asked for a process may take on a busy machine."""


class Crowd:
    """`count` processes on the folder `root`; their journals are in `notes`, outside of the mount."""

    def __init__(self, root: Path, notes: Path, count: int, seed: int, *, daemon_dies: bool = False) -> None:
        self.root, self.notes, self.count = root, notes, count
        self.operations = 0
        """What the processes noted as done, when that was last read."""
        self._seed, self._daemon_dies = seed, daemon_dies
        self._processes: list[subprocess.Popen[str]] = []
        notes.mkdir()
        root.mkdir()
        for name, game in GAMES.items():
            (root / name).mkdir()
            game.prepare(root / name, count)
        for number in range(count):
            (root / f"own-{number}").mkdir(mode=0o755)

    def start(self, seconds: float) -> None:
        """Start all, and let them begin when all are ready."""
        environment = {**os.environ, "CROWD_DAEMON_DIES": "yes" if self._daemon_dies else ""}
        for number in range(self.count):
            words = [
                self.root,
                self._journal(number),
                number,
                self.count,
                self._seed * 1000 + number,
                seconds,
            ]
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", crowd_member.__name__, *map(str, words)],
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line == "ready\n", process.communicate(timeout=10)
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    @property
    def running(self) -> bool:
        return any(process.poll() is None for process in self._processes)

    def join(self, seconds: float) -> Counter[str]:
        """Have them end when their time is over, and wait for that; how much they did. AssertionError with
        the words of who failed."""
        done = Counter[str]()
        (self.notes / ENOUGH).touch()
        for number, process in enumerate(self._processes):
            said, complaint = process.communicate(timeout=seconds + SPARE_SECONDS)
            died_mapped = self._daemon_dies and process.returncode == -signal.SIGBUS
            assert process.returncode == 0 or died_mapped, f"process {number}: {complaint[-3000:]}"
            if not died_mapped:
                done.update(self._said(number, said, complaint))
        self._processes = []
        return done

    def _said(self, number: int, said: str, complaint: str) -> dict[str, int]:
        _ready, _, last = said.strip().rpartition("\n")
        found = json.loads(last)
        if isinstance(found, dict):
            return found
        assert self._daemon_dies, f"process {number} ended with errno {found}"
        assert found in DEATH, f"process {number} ended with {os.strerror(found)}: {complaint[-2000:]}"
        return {}

    def end(self) -> None:
        """Nothing of it is left when this returns, however it went."""
        for process in self._processes:
            process.kill()
            process.communicate()
        self._processes = []

    # --- comparing --------------------------------------------------------------------------

    def verify(self, *, finished: bool) -> None:
        """Everything is as the processes noted it; Broken or AssertionError where it is not."""
        facts: dict[str, Facts] = {name: [] for name in GAMES}
        self.operations = 0
        for number in range(self.count):
            lines = [json.loads(line) for line in self._journal(number).read_text().splitlines()]
            for name, *fact in lines:
                if name in facts:
                    facts[name].append([number, *fact])
            self.operations += sum(name != "own" for name, *_ in lines)
            found = survey(self.root / f"own-{number}")
            if finished:
                assert lines[-1][0] == "finished"
                assert describe(found) == lines[-1][1], f"own-{number}"
            else:
                _compare_after_kill(found, lines, f"own-{number}")
        for name, game in GAMES.items():
            game.verify(self.root / name, facts[name], self.count, finished=finished)

    def _journal(self, number: int) -> Path:
        return self.notes / f"{number}"


def _compare_after_kill(found: Tree, lines: list[list[Any]], where: str) -> None:
    """The tree is what was acknowledged, with all, nothing or a part of the one operation that was not."""
    operations: list[Operation] = [line[1] for line in lines if line[0] == "own"]
    returned = sum(line[0] == "done" for line in lines)
    tree = empty_tree()
    for operation in operations[:returned]:
        apply(operation, tree)
    facts = describe(found)
    lost = f"{where}: {different(facts, describe(tree))}"
    if not different(facts, describe(tree)):
        return
    assert returned < len(operations), lost
    pending = operations[returned]
    path = pending[1]
    before = tree.get(path, Node("file"))
    old = bytearray(before.content)
    apply(pending, tree)
    if facts == describe(tree):
        return
    # A part of it: each byte is of the old content or of the new one, and all else is as it should be.
    assert pending[0] in ("write", "map", "append", "truncate", "allocate"), f"{lost}, pending {pending}"
    assert path in found, f"{lost}, pending {pending}"
    content = found[path].content
    assert is_mixture(bytes(content), old, tree[path].content), f"{where}: {pending}"
    tree[path].content[:] = content
    assert facts == describe(tree), f"{where}: {pending}: {different(facts, describe(tree))}"


def different(found: dict[str, Any], expected: dict[str, Any]) -> list[Any]:
    """A few of the differences, for a message."""
    paths = [path for path in {*found, *expected} if found.get(path) != expected.get(path)]
    return [(path, found.get(path), expected.get(path)) for path in sorted(paths)[:3]]
