"""Games that all processes of the crowd play on the same names: who wins, and what must hold for all of them.

Each game is played in a folder of its own, step by step by every process, which checks what it sees and notes
facts; `verify` looks at the folder and the facts of all when they have stopped. `finished` is False after the
daemon was killed: what is in the facts must then be there, and of each process one step more may be.
"""

import os
import random
import stat
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tests.mounted.crowd_tree import digest, noise, read_up_to
from tests.mounted.renaming import NOREPLACE, renameat2

Note = Callable[..., None]
Facts = list[list[Any]]
"""Of each process the facts that it noted, in order; each with the number of the process before it."""


class Broken(Exception):
    """An invariant does not hold; says which and where."""


def require(holds: object, *what: object) -> None:
    if not holds:
        raise Broken(" ".join(map(str, what)))


class Game(Protocol):
    """One game of one process, `number` of `count`."""

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None: ...

    @staticmethod
    def prepare(folder: Path, count: int) -> None: ...

    def play(self, chance: random.Random) -> None: ...

    def finish(self) -> None: ...

    @staticmethod
    def verify(folder: Path, facts: Facts, count: int, *, finished: bool) -> None: ...


class Claims:
    """Everyone wants to make the same name at the same time: exactly one may have made it."""

    ROUNDS_PER_SECOND = 8

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None:
        self.folder, self.number, self.note = folder, number, note
        self.tried = ""
        self.own = folder.parent / f"claim-{number}"

    @staticmethod
    def prepare(folder: Path, count: int) -> None:
        for number in range(count):
            (folder.parent / f"claim-{number}").write_text(f"{number}")

    def play(self, chance: random.Random) -> None:
        now = int(time.monotonic() * self.ROUNDS_PER_SECOND)  # one clock for all processes
        kind = ("file", "folder", "link", "symlink", "noreplace")[now % 5]
        name = f"{kind}-{now}"
        if name == self.tried:
            return
        self.tried = name
        try:
            self._claim(kind, self.folder / name)
        except FileExistsError:
            require(os.lstat(self.folder / name), "taken and not there")
        else:
            self.note(name)

    def _claim(self, kind: str, path: Path) -> None:
        if kind == "file":
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        elif kind == "folder":
            os.mkdir(path)
        elif kind == "link":
            os.link(self.own, path)
        elif kind == "symlink":
            os.symlink(f"{self.number}", path)
        else:
            mine = self.folder.parent / f"claim-{self.number}-new"
            mine.write_text(f"{self.number}")
            renameat2(mine, path, NOREPLACE)

    def finish(self) -> None:
        require((self.own).read_text() == f"{self.number}", self.own)

    @staticmethod
    def verify(folder: Path, facts: Facts, count: int, *, finished: bool) -> None:
        won = Counter(name for _, name in facts)
        require(max(won.values(), default=1) == 1, "made twice:", won.most_common(3))
        there = set(os.listdir(folder))
        require(won.keys() <= there, "made and gone:", won.keys() - there)
        require(len(there) - len(won) <= (0 if finished else count), "made by nobody:", there - won.keys())


class Tokens:
    """Tokens that everyone moves between folders: each is at one place, and each move was done once."""

    FOLDERS = ("a", "b", "c")
    TOKENS = 8

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None:
        self.folder, self.note = folder, note

    @classmethod
    def prepare(cls, folder: Path, count: int) -> None:
        for name in cls.FOLDERS:
            (folder / name).mkdir()
        for token in range(cls.TOKENS):
            (folder / "a" / f"{token}").write_bytes(noise(token, 5000))

    def play(self, chance: random.Random) -> None:
        token = f"{chance.randrange(self.TOKENS)}"
        old, new = chance.sample(self.FOLDERS, 2)
        try:
            os.rename(self.folder / old / token, self.folder / new / token)
        except FileNotFoundError:
            return
        self.note(token, old, new)

    def finish(self) -> None:
        pass

    @classmethod
    def verify(cls, folder: Path, facts: Facts, count: int, *, finished: bool) -> None:
        for token in range(cls.TOKENS):
            places = [name for name in cls.FOLDERS if f"{token}" in os.listdir(folder / name)]
            require(len(places) == 1, f"token {token} is in", places)
            content = (folder / places[0] / f"{token}").read_bytes()
            require(content == noise(token, 5000), f"token {token} has changed")
            if not finished:
                continue
            balance = Counter({"a": 1})
            for _, moved, old, new in facts:
                if moved == f"{token}":
                    balance[old] -= 1
                    balance[new] += 1
            require(+balance == Counter(places) and min(balance.values()) >= 0, f"token {token}:", balance)


class Versions:
    """Files that are replaced by rename: who opens one sees one whole version, and keeps it."""

    FILES = 3

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None:
        self.folder, self.number = folder, number
        self.made = 0
        self.seen: dict[tuple[int, int], int] = {}
        self.held: tuple[int, bytes] | None = None

    @classmethod
    def prepare(cls, folder: Path, count: int) -> None:
        for file in range(cls.FILES):
            (folder / f"{file}").write_bytes(cls.version(count, 0))

    @staticmethod
    def version(writer: int, made: int) -> bytes:
        body = noise(writer * 1_000_000 + made, 1000 + made * 977 % 60_000)
        return f"{writer} {made} {digest(body)}\n".encode() + body

    @staticmethod
    def check(content: bytes, where: object) -> tuple[int, int]:
        head, _, body = content.partition(b"\n")
        require(head.count(b" ") == 2, where, "is no version:", head[:80], len(content))
        writer, made, sum_of_body = head.decode().split()
        require(digest(body) == sum_of_body, where, "is a mixture:", head, len(content))
        return int(writer), int(made)

    def play(self, chance: random.Random) -> None:
        file = chance.randrange(self.FILES)
        if chance.random() < 0.4:
            self._replace(self.folder / f"{file}", sync=chance.random() < 0.3)
        else:
            self._read(file)

    def _replace(self, path: Path, *, sync: bool) -> None:
        self.made += 1
        new = self.folder / f"new-{self.number}"
        with open(new, "wb", buffering=0) as writing:
            writing.write(self.version(self.number, self.made))
            if sync:
                os.fsync(writing.fileno())
        os.rename(new, path)

    def _read(self, file: int) -> None:
        self.finish()
        descriptor = os.open(self.folder / f"{file}", os.O_RDONLY)
        content = read_up_to(descriptor, 1 << 20)
        self.held = (descriptor, content)
        writer, made = self.check(content, self.folder / f"{file}")
        before = self.seen.get((file, writer), 0)
        require(made >= before, f"version {made} of {writer} in {file} after version {before}")
        self.seen[file, writer] = made

    def finish(self) -> None:
        """What was opened earlier is still what it was, replaced as it may be."""
        if self.held is not None:
            descriptor, content = self.held
            self.held = None
            require(read_up_to(descriptor, 1 << 20) == content, "an open version has changed")
            os.close(descriptor)

    @classmethod
    def verify(cls, folder: Path, facts: Facts, count: int, *, finished: bool) -> None:
        for file in range(cls.FILES):
            cls.check((folder / f"{file}").read_bytes(), folder / f"{file}")
        names = [f"{file}" for file in range(cls.FILES)]
        require(not finished or sorted(os.listdir(folder)) == names, os.listdir(folder))


class Links:
    """Files to which everyone makes and removes names: the link count is the number of names."""

    FILES = 3
    MOST = 10

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None:
        self.folder, self.number, self.count, self.note = folder, number, count, note
        self.own: dict[int, list[str]] = {file: [] for file in range(self.FILES)}
        self.made = 0

    @classmethod
    def prepare(cls, folder: Path, count: int) -> None:
        for file in range(cls.FILES):
            (folder / f"{file}").write_bytes(b"linked")

    def play(self, chance: random.Random) -> None:
        file = chance.randrange(self.FILES)
        names = self.own[file]
        if len(names) < self.MOST and chance.random() < 0.6:
            self.made += 1
            name = f"{file}-{self.number}-{self.made}"
            os.link(self.folder / f"{file}", self.folder / name)
            names.append(name)
            self.note(file, 1)
        elif names:
            os.unlink(self.folder / names.pop(chance.randrange(len(names))))
            self.note(file, -1)
        status = os.stat(self.folder / f"{file}")
        most = 1 + len(names) + (self.count - 1) * self.MOST
        require(1 + len(names) <= status.st_nlink <= most, f"link count {status.st_nlink}, own {len(names)}")

    def finish(self) -> None:
        for file, names in self.own.items():
            inode = os.stat(self.folder / f"{file}").st_ino
            for name in names:
                require(os.stat(self.folder / name).st_ino == inode, name)

    @classmethod
    def verify(cls, folder: Path, facts: Facts, count: int, *, finished: bool) -> None:
        statuses = [os.stat(folder / name) for name in os.listdir(folder)]
        for file in range(cls.FILES):
            status = os.stat(folder / f"{file}")
            names = sum(other.st_ino == status.st_ino for other in statuses)
            require(names == status.st_nlink, f"{names} names of {file}, link count {status.st_nlink}")
            balance = 1 + sum(change for _, which, change in facts if which == file)
            require(abs(names - balance) <= (0 if finished else count), f"{names} names, {balance} made")


class Listing:
    """A folder in which names come and go: who lists it sees each name that stays exactly once."""

    STAYING = 150
    MOST = 20

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None:
        self.folder, self.number = folder, number
        self.staying = [f"stay-{stay}" for stay in range(self.STAYING)]
        self.own: list[str] = []
        self.gone: list[str] = []
        self.made = 0

    @classmethod
    def prepare(cls, folder: Path, count: int) -> None:
        for number in range(cls.STAYING):
            (folder / f"stay-{number}").touch()

    def play(self, chance: random.Random) -> None:
        for _ in range(chance.randrange(3)):
            self._change(chance)
        self.finish()

    def _change(self, chance: random.Random) -> None:
        if len(self.own) < self.MOST and chance.random() < 0.6:
            self.made += 1
            name = f"of-{self.number}-{self.made}"
            os.close(os.open(self.folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            self.own.append(name)
        elif self.own:
            name = self.own.pop(chance.randrange(len(self.own)))
            os.unlink(self.folder / name)
            self.gone.append(name)
            del self.gone[:-10]

    def finish(self) -> None:
        listed = Counter(os.listdir(self.folder))
        for name in [*self.staying, *self.own]:
            require(listed[name] == 1, f"{name} was listed {listed[name]} times")
        for name in self.gone:
            require(name not in listed, f"{name} was listed after it was removed")
            try:
                mode = os.lstat(self.folder / name).st_mode
            except FileNotFoundError:
                continue
            raise Broken(f"{name} was removed and is there, {stat.filemode(mode)}")

    @classmethod
    def verify(cls, folder: Path, facts: Facts, count: int, *, finished: bool) -> None:
        listed = Counter(os.listdir(folder))
        require(all(listed[f"stay-{number}"] == 1 for number in range(cls.STAYING)), listed)
        require(max(listed.values()) == 1, listed.most_common(2))
