"""Thousands of random operations, on the mount and on the host: the same answers, the same tree."""

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.renaming import EXCHANGE, NOREPLACE, renameat2
from tests.mounted.trees import describe

pytestmark = pytest.mark.mounted

OPERATIONS = 2500
NAMES = ("a", "b", "c", "d")

Action = Callable[[Path], object]


def draw_path(chance: random.Random) -> str:
    return "/".join(chance.choices(NAMES, k=chance.choice((1, 1, 2, 2, 3, 4))))


def write(path: Path, offset: int, data: bytes, flags: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | flags, 0o644)
    try:
        os.pwrite(descriptor, data, offset)
    finally:
        os.close(descriptor)


def draw_names(chance: random.Random) -> Action:
    """An operation on names."""
    one, two = draw_path(chance), draw_path(chance)
    kind = chance.randrange(9)
    if kind == 0:
        return lambda root: (root / one).rmdir()
    if kind == 1:
        return lambda root: (root / one).unlink()
    if kind == 2:
        return lambda root: os.link(root / one, root / two, follow_symlinks=False)
    if kind == 3:
        return lambda root: (root / one).symlink_to(two)
    if kind == 4:
        return lambda root: renameat2(root / one, root / two, EXCHANGE)
    if kind == 5:
        return lambda root: renameat2(root / one, root / two, NOREPLACE)
    if kind == 6:
        return lambda root: os.rename(root / one, root / two)
    return lambda root: (root / one).mkdir(mode=0o750)


def draw_contents(chance: random.Random) -> Action:
    """An operation on what a name stands for."""
    path, number = draw_path(chance), chance.randrange(50_000)
    kind = chance.randrange(8)
    data = chance.randbytes(chance.choice((1, 50, 5000))) if kind % 2 else b"same" * 2000
    if kind == 0:
        return lambda root: os.truncate(root / path, number)
    if kind == 1:
        return lambda root: os.chmod(root / path, 0o600 + number % 0o200)
    if kind == 2:
        return lambda root: os.setxattr(root / path, f"user.{number % 3}", data[:50])
    if kind == 3:
        return lambda root: os.removexattr(root / path, f"user.{number % 3}")
    if kind == 4:
        return lambda root: os.utime(root / path, ns=(number, number * 10**9), follow_symlinks=False)
    if kind == 5:
        return lambda root: sorted(os.listdir(root / path))
    flags = chance.choice((0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_CREAT | os.O_TRUNC))
    return lambda root: write(root / path, number, data, flags)


def answer(action: Action, root: Path) -> object:
    """What an operation returns, or the name of its error."""
    try:
        return action(root)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """All but the times, which each file system gives by itself."""
    return {name: (*facts[:4], *facts[5:]) for name, facts in describe(root).items()}


def restart(mounted: MountedStore, *, clean: bool) -> None:
    if clean:
        mounted.unmount()
    else:
        mounted.kill()
    mounted.mount()


def test_the_mount_answers_as_the_host_does(mounted: MountedStore, tmp_path: Path) -> None:
    for seed in (1, 2):
        compare(mounted, tmp_path, seed)


def compare(mounted: MountedStore, host: Path, seed: int) -> None:
    chance = random.Random(seed)
    roots = (mounted.path / f"{seed}", host / f"{seed}")
    for root in roots:
        root.mkdir()
    done = 0
    for number in range(OPERATIONS):
        action = draw_names(chance) if chance.random() < 0.5 else draw_contents(chance)
        answers = [answer(action, root) for root in roots]
        assert answers[0] == answers[1], f"operation {number} with seed {seed}"
        done += not isinstance(answers[0], str)
        if number % 500 == 499:
            assert tree(roots[0]) == tree(roots[1])
            restart(mounted, clean=chance.random() < 0.5)
            assert tree(roots[0]) == tree(roots[1])
    assert done > OPERATIONS // 10
