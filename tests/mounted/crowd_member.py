"""One process of the crowd: `crowd_member.py ROOT JOURNAL NUMBER COUNT SEED SECONDS`.

Begins when a line comes on its standard input, works on a tree of its own and in the games of all, checks as
it goes, and journals each operation before it begins and when it has returned. Prints how much it did, or the
errno with which its work ended when the daemon died; anything else is a traceback. Ends when its time is over
and a file beside its journal, ENOUGH, says that it may.
"""

import json
import os
import random
import sys
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from tests.mounted.crowd_games_data import Appends, Attributes, Bulk, Counters, Regions, Slots
from tests.mounted.crowd_games_names import Claims, Game, Links, Listing, Tokens, Versions, require
from tests.mounted.crowd_operations import draw, perform
from tests.mounted.crowd_tree import Node, apply, describe, empty_tree, look, paths_of, read_up_to, survey

GAMES: dict[str, type[Game]] = {
    "claims": Claims,
    "tokens": Tokens,
    "versions": Versions,
    "links": Links,
    "listing": Listing,
    "appends": Appends,
    "regions": Regions,
    "slots": Slots,
    "counters": Counters,
    "attributes": Attributes,
    "bulk": Bulk,
}
MOST_HELD = 8
ENOUGH = "enough"


class Journal:
    """What was done, line by line, kept outside of the mount."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)

    def write(self, *line: Any) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Member:
    """One process, its tree with the oracle, and the files that it keeps open without a name."""

    def __init__(self, root: Path, journal: Journal, number: int, count: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.journal = journal
        self.own = root / f"own-{number}"
        self.tree = empty_tree()
        self.held: list[tuple[int, Node]] = []
        self.done = Counter[str]()
        self.games = {
            name: game(root / name, number, count, partial(journal.write, name))
            for name, game in GAMES.items()
        }

    def step(self) -> None:
        if self.chance.random() < 0.5:
            self._work_on_own()
        else:
            name = self.chance.choice(list(self.games))
            self.games[name].play(self.chance)
            self.done[name] += 1

    def _work_on_own(self) -> None:
        operation = draw(self.chance, self.tree)
        self.journal.write("own", operation)
        if operation[0] == "unlink" and self.tree[operation[1]].kind == "file" and self.chance.random() < 0.5:
            self._hold(operation[1])
        perform(self.own, operation)
        os.statvfs(self.own)  # asks the daemon: after its death the kernel lets close(2) succeed all the same
        self.journal.write("done")
        apply(operation, self.tree)
        self.done[operation[0]] += 1
        if self.chance.random() < 0.3:
            self._check_one()

    def _hold(self, path: str) -> None:
        """A file that is about to lose this name stays open."""
        if len(self.held) >= MOST_HELD:
            self._let_go()
        self.held.append((os.open(self.own / path, os.O_RDWR), self.tree[path]))

    def _let_go(self) -> None:
        descriptor, node = self.held.pop(0)
        if os.fstat(descriptor).st_nlink == 0:
            node.content[:5] = b"alone"
            os.pwrite(descriptor, b"alone", 0)
        found = read_up_to(descriptor, len(node.content) + 1)
        require(found == node.content, "an open file that lost a name is not what was made of it")
        os.close(descriptor)

    def _check_one(self) -> None:
        paths = paths_of(self.tree, "file", "folder", "symlink")
        if paths:
            path = self.chance.choice(paths)
            found = look(self.own, path)
            require(found == self.tree[path], f"{self.own / path} is not what was made of it")
            self.done["looks"] += 1

    def finish(self) -> None:
        while self.held:
            self._let_go()
        for game in self.games.values():
            game.finish()
        require(describe(survey(self.own)) == describe(self.tree), f"{self.own} is not what was made of it")
        self.journal.write("finished", describe(self.tree))


def main(root: str, journal: str, number: str, count: str, seed: str, seconds: str) -> None:
    member = Member(Path(root), Journal(Path(journal)), int(number), int(count), int(seed))
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + float(seconds)
    enough, parent = Path(journal).with_name(ENOUGH), os.getppid()
    while time.monotonic() < end or not enough.exists():
        require(os.getppid() == parent, "nobody is left to say that it is enough")
        member.step()
    member.finish()
    print(json.dumps(member.done), flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        if not os.environ.get("CROWD_DAEMON_DIES"):
            raise
        traceback.print_exc()
        print(error.errno, flush=True)
        os._exit(0)  # without closing anything: the mount under it is dead
