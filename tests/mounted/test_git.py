"""git on the mount: a repository with history is cloned, worked in, and is whole after a remount."""

import random
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import run

pytestmark = pytest.mark.mounted

COMMITS = 300


def history(seed: int) -> str:
    """A stream for `git fast-import`: many commits that add, change, rename and remove files."""
    chance = random.Random(seed)
    paths: list[str] = []
    stream = []
    for number in range(COMMITS):
        stream.append(f"commit refs/heads/main\ncommitter a <a@example.org> {1_600_000_000 + number} +0000\n")
        stream.append(data(f"commit {number}"))
        for _ in range(3):
            path = f"part{chance.randrange(12)}/sub{chance.randrange(5)}/file{chance.randrange(10_000)}.txt"
            paths.append(path)
            stream.append(f"M {chance.choice(('100644', '100755'))} inline {path}\n{data(text(chance))}")
        stream.append(f"M 100644 inline {chance.choice(paths)}\n{data(text(chance))}")
        if number % 10 == 9:
            stream.append(f"M 120000 inline link{number}\n{data(chance.choice(paths))}")
    return "".join(stream)


def data(content: str) -> str:
    return f"data {len(content)}\n{content}\n"


def text(chance: random.Random) -> str:
    return "".join(f"line {chance.random()}\n" for _ in range(chance.randrange(1, 120)))


def test_clone_fsck_and_status_after_remount(mounted: MountedStore, tmp_path: Path) -> None:
    origin = tmp_path / "origin.git"
    run("git", "init", "--quiet", "--bare", "--initial-branch=main", origin)
    run("git", "fast-import", "--quiet", cwd=origin, stdin=history(seed=1))

    clone = mounted.path / "clone"
    run("git", "clone", "--quiet", "--no-local", origin, clone)
    assert int(run("git", "rev-list", "--count", "HEAD", cwd=clone)) == COMMITS
    assert len(run("git", "ls-files", cwd=clone).splitlines()) > 500
    run("git", "fsck", "--full", "--strict", cwd=clone)
    assert run("git", "status", "--porcelain", cwd=clone) == ""

    mounted.remount()
    assert run("git", "status", "--porcelain", cwd=clone) == ""
    run("git", "fsck", "--full", "--strict", cwd=clone)
    assert run("git", "rev-parse", "HEAD^{tree}", cwd=clone) == run(
        "git", "rev-parse", "main^{tree}", cwd=origin
    )


def test_work_in_a_repository_survives_a_kill(mounted: MountedStore) -> None:
    work = mounted.path / "work"
    run("git", "init", "--quiet", "--initial-branch=main", work)
    run("git", "fast-import", "--quiet", cwd=work, stdin=history(seed=2))
    run("git", "checkout", "--quiet", "main", cwd=work)
    run("git", "checkout", "--quiet", "-b", "side", "main~100", cwd=work)
    (work / "new.txt").write_text("new\n")
    run("git", "add", "new.txt", cwd=work)
    run("git", "commit", "--quiet", "-m", "new", cwd=work)
    run("git", "merge", "--quiet", "-m", "merged", "main", cwd=work)
    run("git", "gc", "--quiet", "--prune=now", cwd=work)
    head = run("git", "rev-parse", "HEAD", cwd=work)

    mounted.kill()
    mounted.mount()
    run("git", "fsck", "--full", "--strict", cwd=work)
    assert run("git", "rev-parse", "HEAD", cwd=work) == head
    assert run("git", "status", "--porcelain", cwd=work) == ""
    assert (work / "new.txt").read_text() == "new\n"
