"""Games that all processes of the crowd play with the same contents: nothing may be lost, torn or mixed up.

Played like those of crowd_games_names.py. After a kill of the daemon only what was synced, or goes to the
daemon at once (extended attributes), must be there: the rest was still in the kernel's cache.
"""

import mmap
import os
import random
import struct
import zlib
from collections import Counter
from pathlib import Path

from tests.mounted.crowd_games_names import Facts, Note, require
from tests.mounted.crowd_tree import digest, noise, read_up_to
from tests.mounted.locker import ALONE, FREE, KINDS, lock


class Appends:
    """Logs to which everyone appends records with O_APPEND: none is lost, torn or out of order."""

    FILES = 3
    RECORD = struct.Struct("<HI54sI")
    assert RECORD.size == 64

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None:
        self.number, self.note = number, note
        flags = os.O_RDWR | os.O_APPEND
        self.descriptors = [os.open(folder / f"{file}", flags) for file in range(self.FILES)]
        self.written = [0] * self.FILES

    @classmethod
    def prepare(cls, folder: Path, count: int) -> None:
        for file in range(cls.FILES):
            (folder / f"{file}").touch()

    @classmethod
    def check(cls, record: bytes, where: object) -> tuple[int, int]:
        require(len(record) == cls.RECORD.size, where, "record of", len(record), "bytes")
        writer, sequence, _, checksum = cls.RECORD.unpack(record)
        require(zlib.crc32(record[:-4]) == checksum, where, "a torn record", record)
        return writer, sequence

    def play(self, chance: random.Random) -> None:
        file = chance.randrange(self.FILES)
        descriptor = self.descriptors[file]
        for _ in range(chance.randrange(1, 4)):
            head = self.RECORD.pack(self.number, self.written[file], chance.randbytes(54), 0)[:-4]
            record = head + struct.pack("<I", zlib.crc32(head))
            require(os.write(descriptor, record) == len(record), "a short append")
            self.written[file] += 1
        if chance.random() < 0.1:
            os.fsync(descriptor)
            self.note(file, self.written[file])
        records = os.fstat(descriptor).st_size // self.RECORD.size
        at = chance.randrange(records) * self.RECORD.size
        self.check(os.pread(descriptor, self.RECORD.size, at), f"log {file}")

    def finish(self) -> None:
        for file, written in enumerate(self.written):
            self.note(file, written)
            os.close(self.descriptors[file])

    @classmethod
    def verify(cls, folder: Path, facts: Facts, count: int, *, finished: bool) -> None:
        for file in range(cls.FILES):
            content = (folder / f"{file}").read_bytes()
            found: dict[int, list[int]] = {number: [] for number in range(count)}
            for at in range(0, len(content), cls.RECORD.size):
                record = content[at : at + cls.RECORD.size]
                if not finished and (len(record) < cls.RECORD.size or not record.strip(b"\0")):
                    continue  # the kernel writes its pages in any order: behind what was synced is a hole
                writer, sequence = cls.check(record, folder / f"{file}")
                found[writer].append(sequence)
            for number, sequences in found.items():
                synced = max(
                    (done for who, which, done in facts if (who, which) == (number, file)), default=0
                )
                kept = sequences if finished else sequences[:synced]
                lost = f"log {file}: {len(sequences)} records of {number}, written or synced {synced}"
                require(kept == list(range(synced)), lost)


class Regions:
    """One file, a region for each process, pages shared at the edges: nobody touches another's bytes."""

    REGION = 10_000

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None:
        self.number, self.note = number, note
        self.begin = number * self.REGION
        self.least = count * self.REGION
        self.descriptor = os.open(folder / "file", os.O_RDWR)
        self.content = bytearray(self.REGION)

    @classmethod
    def prepare(cls, folder: Path, count: int) -> None:
        (folder / "file").write_bytes(bytes(count * cls.REGION))

    def play(self, chance: random.Random) -> None:
        length = chance.choice((1, 60, 700, 5000))
        offset = chance.randrange(self.REGION - length)
        data = noise(chance.getrandbits(30), length)
        os.pwrite(self.descriptor, data, self.begin + offset)
        self.content[offset : offset + length] = data
        if self.number == 0 and chance.random() < 0.2:
            os.ftruncate(self.descriptor, self.least + chance.randrange(100_000))
        if chance.random() < 0.05:
            os.fdatasync(self.descriptor)
        self._check()

    def _check(self) -> None:
        found = read_up_to(self.descriptor, self.REGION, self.begin)
        require(found == self.content, f"region {self.number} was changed by somebody else")

    def finish(self) -> None:
        self._check()
        self.note(digest(self.content))
        os.close(self.descriptor)

    @classmethod
    def verify(cls, folder: Path, facts: Facts, count: int, *, finished: bool) -> None:
        content = (folder / "file").read_bytes()
        require(len(content) >= count * cls.REGION, "the file is too short:", len(content))
        for number, expected in facts:
            begin = number * cls.REGION
            require(digest(content[begin : begin + cls.REGION]) == expected, f"region {number} is wrong")


class Slots:
    """A page that all have mapped: what one stores, others and pread(2) see, and it only grows."""

    SLOT = struct.Struct("<Q")

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None:
        self.number, self.count, self.note = number, count, note
        self.descriptor = os.open(folder / "page", os.O_RDWR)
        self.mapping = mmap.mmap(self.descriptor, 4096)
        self.stored = 0
        self.seen = [0] * count

    @classmethod
    def prepare(cls, folder: Path, count: int) -> None:
        (folder / "page").write_bytes(bytes(4096))

    def play(self, chance: random.Random) -> None:
        at = self.number * self.SLOT.size
        self.stored += 1
        self.mapping[at : at + self.SLOT.size] = self.SLOT.pack(self.stored)
        if chance.random() < 0.05:
            self.mapping.flush()
        page = os.pread(self.descriptor, self.count * self.SLOT.size, 0)
        found = [value for (value,) in self.SLOT.iter_unpack(page)]
        require(found[self.number] == self.stored, f"stored {self.stored}, pread has {found[self.number]}")
        for number, (before, now) in enumerate(zip(self.seen, found, strict=True)):
            require(now >= before, f"slot {number} fell from {before} to {now}")
        self.seen = found

    def finish(self) -> None:
        self.mapping.flush()
        self.mapping.close()
        os.close(self.descriptor)
        self.note(self.stored)

    @classmethod
    def verify(cls, folder: Path, facts: Facts, count: int, *, finished: bool) -> None:
        page = (folder / "page").read_bytes()
        for number, stored in facts:
            (found,) = cls.SLOT.unpack_from(page, number * cls.SLOT.size)
            require(found == stored, f"slot {number} is {found}, {stored} were stored")


class Counters:
    """Numbers that everyone reads, adds one to and writes back under a lock: no step is lost."""

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None:
        self.note = note
        self.descriptors = {kind: os.open(folder / kind, os.O_RDWR) for kind in KINDS}
        self.steps = Counter[str]()

    @classmethod
    def prepare(cls, folder: Path, count: int) -> None:
        for kind in KINDS:
            (folder / kind).write_bytes(b"0")

    def play(self, chance: random.Random) -> None:
        kind = chance.choice(KINDS)
        descriptor = self.descriptors[kind]
        lock(kind, descriptor, ALONE)
        value = int(os.pread(descriptor, 20, 0))
        os.pwrite(descriptor, b"%d" % (value + 1), 0)
        lock(kind, descriptor, FREE)
        self.steps[kind] += 1

    def finish(self) -> None:
        for kind in KINDS:
            self.note(kind, self.steps[kind])
            os.close(self.descriptors[kind])

    @classmethod
    def verify(cls, folder: Path, facts: Facts, count: int, *, finished: bool) -> None:
        for kind in KINDS if finished else ():
            steps = sum(done for _, which, done in facts if which == kind)
            require(int((folder / kind).read_bytes()) == steps, f"{kind}: not {steps}")


class Bulk:
    """A large file of each process, replaced now and then: what packs are made of, and what dies in them."""

    LARGEST = 3 << 20

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None:
        self.folder, self.number, self.note = folder, number, note
        self.version = 0

    @staticmethod
    def prepare(folder: Path, count: int) -> None:
        pass

    @classmethod
    def content(cls, number: int, version: int) -> bytes:
        """Half of it is like in the version before, and in other files of the same version."""
        size = cls.LARGEST * (1 + version % 3) // 3
        return noise(4 * version + 2, size // 2) + noise(
            4 * (number * 1_000_000 + version // 2) + 1, size // 2
        )

    def play(self, chance: random.Random) -> None:
        path = self.folder / f"{self.number}"
        if not self.version or chance.random() < 0.06:
            new = self.folder / f"new-{self.number}"
            with open(new, "wb", buffering=0) as file:
                file.write(self.content(self.number, self.version + 1))
                os.fsync(file.fileno())
            os.rename(new, path)
            self.version += 1
            self.note(self.version)
            return
        expected = self.content(self.number, self.version)
        at = chance.randrange(len(expected))
        descriptor = os.open(path, os.O_RDONLY)
        found = read_up_to(descriptor, 200_000, at)
        os.close(descriptor)
        require(found == expected[at : at + 200_000], f"{path} is not version {self.version} at {at}")

    def finish(self) -> None:
        if self.version:
            content = (self.folder / f"{self.number}").read_bytes()
            require(content == self.content(self.number, self.version), f"large file {self.number}")

    @classmethod
    def verify(cls, folder: Path, facts: Facts, count: int, *, finished: bool) -> None:
        versions: dict[int, int] = {}
        for number, version in facts:
            versions[number] = version
        for number, version in versions.items():
            found = (folder / f"{number}").read_bytes()
            allowed = [cls.content(number, version)] + (
                [] if finished else [cls.content(number, version + 1)]
            )
            require(found in allowed, f"large file {number} is not version {version}")


class Attributes:
    """One file that carries an extended attribute of each process: everyone finds its own as it was set."""

    def __init__(self, folder: Path, number: int, count: int, note: Note) -> None:
        self.path, self.number, self.note = folder / "file", number, note
        self.name = f"user.of-{number}"
        self.version = 0

    @classmethod
    def prepare(cls, folder: Path, count: int) -> None:
        (folder / "file").touch()

    @staticmethod
    def value(number: int, version: int) -> bytes:
        return noise(number * 1_000_000 + version, version * 37 % 2000)

    def play(self, chance: random.Random) -> None:
        if chance.random() < 0.5:
            self.version += 1
            os.setxattr(self.path, self.name, self.value(self.number, self.version))
            self.note(self.version)
        elif self.version:
            self.finish()
            require(self.name in os.listxattr(self.path), f"{self.name} is not listed")

    def finish(self) -> None:
        if self.version:
            found, expected = os.getxattr(self.path, self.name), self.value(self.number, self.version)
            require(found == expected, f"{self.name} is not version {self.version}")

    @classmethod
    def verify(cls, folder: Path, facts: Facts, count: int, *, finished: bool) -> None:
        versions: dict[int, int] = {}
        for number, version in facts:
            versions[number] = version
        for number, version in versions.items():
            found = os.getxattr(folder / "file", f"user.of-{number}")
            allowed = [cls.value(number, version)] + ([] if finished else [cls.value(number, version + 1)])
            require(found in allowed, f"attribute of {number} is not version {version}")
