"""kill -9 of the daemon under git: each commit whose command had returned is there, the repository sound."""

from pathlib import Path

import pytest

from tests.mounted.killing import kill_amid, seeds
from tests.mounted.mounting import MountedStore
from tests.mounted.programs import run, start_python

pytestmark = pytest.mark.mounted

WRITERS = 2

SETTINGS = {"core.fsync": "all", "gc.auto": "0"}

# Changes, adds, renames and removes files and commits, over and over, with a repack now and then; prints each
# commit's name when its command has returned. Anything but the daemon's death is told on standard error.
WORK = """
import pathlib, random, subprocess, sys
repository, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)

def git(*words):
    done = subprocess.run(["git", "-C", repository, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"git {words}: {done.stdout}{done.stderr}")
    return done.stdout.strip()

number = 0
while True:
    number += 1
    try:
        files = sorted(path for path in repository.glob("part*/*") if path.is_file())
        for _ in range(chance.randrange(1, 4)):
            path = repository / f"part{chance.randrange(8)}" / f"file{chance.randrange(40)}"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(f"{chance.random()}\\n" for _ in range(chance.randrange(400))))
        if files and number % 3 == 0:
            chance.choice(files).unlink()
        if files and number % 4 == 0:
            source = chance.choice(files)
            if source.exists():
                source.rename(source.with_name(f"moved{number}"))
    except OSError as error:
        sys.exit(f"{error}")
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", f"{seed}.{number}")
    print(git("rev-parse", "HEAD"), flush=True)
    if number % 10 == 0:
        git("repack", "-d", "--quiet")
"""


def make_repository(repository: Path) -> None:
    run("git", "init", "--quiet", "--initial-branch=main", repository)
    for name, value in SETTINGS.items():
        run("git", "config", name, value, cwd=repository)


def check(repository: Path, committed: list[str]) -> None:
    """Sound, with every commit that was acknowledged, and fit to go on with."""
    for lock in (repository / ".git").rglob("*.lock"):
        lock.unlink()  # as git asks for after any crash of its own
    run("git", "fsck", "--full", "--strict", "--no-dangling", cwd=repository)
    assert set(committed) <= set(run("git", "rev-list", "HEAD", cwd=repository).split())
    run("git", "status", "--porcelain", cwd=repository)
    run("git", "reset", "--quiet", "--hard", cwd=repository)
    run("git", "clean", "--quiet", "-d", "--force", cwd=repository)
    assert run("git", "status", "--porcelain", cwd=repository) == ""
    with (repository / "after").open("a") as file:
        file.write("goes on\n")
    run("git", "add", "after", cwd=repository)
    run("git", "commit", "--quiet", "--message", "goes on", cwd=repository)


def test_each_commit_that_returned_is_there(mounted: MountedStore, tmp_path: Path) -> None:
    repositories = [mounted.path / f"repository{number}" for number in range(WRITERS)]
    committed: list[list[str]] = [[] for _ in repositories]
    for repository in repositories:
        make_repository(repository)
    for seed in seeds(2):
        writers = [
            start_python(WORK, repository, f"{seed * WRITERS + number}", cwd=tmp_path)
            for number, repository in enumerate(repositories)
        ]
        first = [writer.stdout.readline().strip() for writer in writers if writer.stdout is not None]
        kill_amid(mounted, seed, least_seconds=0.3, most_seconds=1.5)
        for writer, name, names in zip(writers, first, committed, strict=True):
            rest, _ = writer.communicate(timeout=60)
            assert writer.returncode == 1, "it can only end with the daemon's death"
            names += [name, *rest.split()]
        mounted.clear()
        mounted.fsck()
        mounted.mount()
        for repository, names in zip(repositories, committed, strict=True):
            check(repository, names)
    mounted.remount()
    for repository, names in zip(repositories, committed, strict=True):
        check(repository, names)
    print(f"{sum(map(len, committed))} commits after {len(seeds(2))} kills")
    assert all(len(names) >= len(seeds(2)) for names in committed)
