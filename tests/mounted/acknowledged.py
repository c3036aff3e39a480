"""What a writer did to a folder, and what the folder must look like after the daemon was killed.

A journal, kept outside of the mount, names each operation before it begins and says when it has returned.
Everything that has returned must be there; of the one that had not, all, nothing or a part.
Operations are JSON lists: ["put"|"map", name, [[offset, length, seed], ...]], ["append", name, length, seed],
["truncate", name, size], ["rename", old, new], ["link", old, new], ["unlink", name].
"""

import json
import os
import random
from pathlib import Path
from typing import Any

Operation = list[Any]
Contents = dict[str, bytearray]

LARGEST = 200_000
NAMES = [f"file-{number}" for number in range(25)]


def noise(seed: int, length: int) -> bytes:
    """Data that can be made again: random bytes, or one byte repeated."""
    chance = random.Random(seed)
    return chance.randbytes(1) * length if seed % 4 == 0 else chance.randbytes(length)


def apply(operation: Operation, files: Contents) -> None:
    """Do to `files` what the operation does to a folder. Names of one file share one object."""
    match operation:
        case ["put" | "map", name, pieces]:
            content = files.setdefault(name, bytearray())
            for offset, length, seed in pieces:
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + length] = noise(seed, length)
        case ["append", name, length, seed]:
            files.setdefault(name, bytearray()).extend(noise(seed, length))
        case ["truncate", name, size]:
            content = files[name]
            del content[size:]
            content.extend(bytes(size - len(content)))
        case ["rename", old, new]:
            content = files[old]
            if files.get(new) is not content:  # two names of one file: nothing is done
                files[new] = files.pop(old)
        case ["link", old, new]:
            files[new] = files[old]
        case ["unlink", name]:
            del files[name]
        case _:
            raise ValueError(operation)


def draw(chance: random.Random, files: Contents) -> Operation:
    """The next operation that is possible with these files."""
    kind = chance.choices(
        ("put", "map", "append", "truncate", "rename", "link", "unlink"), (8, 2, 5, 2, 3, 1, 2)
    )[0]
    name = chance.choice(NAMES)
    present, free = sorted(files), [name for name in NAMES if name not in files]
    if kind == "append" and len(files.get(name, b"")) < LARGEST:
        return ["append", name, chance.choice((1, 100, 5000)), chance.getrandbits(30)]
    if kind == "truncate" and present:
        return ["truncate", chance.choice(present), chance.randrange(LARGEST)]
    if kind == "rename" and present:
        return ["rename", chance.choice(present), name]
    if kind == "link" and present and free:
        return ["link", chance.choice(present), chance.choice(free)]
    if kind == "unlink" and present:
        return ["unlink", chance.choice(present)]
    pieces = []
    for _ in range(chance.choice((1, 1, 3))):
        length = chance.choice((1, 100, 4096, 10_000, 60_000))
        pieces.append([chance.randrange(LARGEST - length), length, chance.getrandbits(30)])
    return ["map" if kind == "map" else "put", name, pieces]


def read_journal(journal: Path) -> tuple[list[Operation], Operation | None]:
    """The operations that have returned, and the one that had not."""
    begun: list[Operation] = []
    done = 0
    for line in journal.read_text().splitlines():
        if line == "done":
            done += 1
        else:
            begun.append(json.loads(line))
    assert len(begun) - done in (0, 1)
    return begun[:done], begun[done] if done < len(begun) else None


def verify(folder: Path, journal: Path) -> int:
    """AssertionError unless the folder is what the journal promises; returns how many operations it has."""
    returned, pending = read_journal(journal)
    before: Contents = {}
    for operation in returned:
        apply(operation, before)
    after: Contents = {name: bytearray(content) for name, content in before.items()}
    if pending is not None:
        after = {}
        for operation in [*returned, pending]:
            apply(operation, after)
    found = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    possible = [state for state in (before, after) if state.keys() == found.keys()]
    assert possible, f"{folder}: {sorted(found)} instead of {sorted(before)}, pending: {pending}"
    for name, content in found.items():
        if any(state[name] == content for state in possible):
            continue
        old = before.get(name, bytearray())
        new = after.get(name, old)
        assert pending is not None, different(folder / name, content, old)
        assert pending[0] in ("put", "map", "append"), f"{pending}\n{different(folder / name, content, old)}"
        assert is_mixture(content, old, new), f"{pending}\n{different(folder / name, content, old)}"
    return len(returned)


def is_mixture(found: bytes, old: bytearray, new: bytearray) -> bool:
    """True when each byte is of the old or of the new content; what lies past an end counts as zero."""
    length = max(len(old), len(new))
    if not min(len(old), len(new)) <= len(found) <= length:
        return False
    padded = [bytes(content) + bytes(length - len(content)) for content in (old, new)]
    return all(byte in choices for byte, *choices in zip(found, *padded, strict=False))


def different(path: Path, found: bytes, expected: bytearray) -> str:
    """Where a file differs, for a message."""
    at = next((n for n, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), -1)
    return f"{path}: {len(found)} bytes, expected {len(expected)}, first difference at {at}"
