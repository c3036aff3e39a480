"""The shell scripts as a user meets them: what mount.sh refuses, what it does twice over, how fast it is.

What they do on a bare machine is not shown here: no test installs a package of the distribution.
"""

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
MOUNT = CHECKOUT / "scripts" / "mount.sh"


def mount(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MOUNT, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a blank and a quote in its name; what is mounted in it goes at the end."""
    folder = tmp_path / "a folder's name"
    folder.mkdir()
    yield folder
    subprocess.run(
        ["fusermount3", "-u", "-z", folder / "mount point"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


@pytest.mark.parametrize(
    "script", ["scripts/mount.sh", "scripts/setup.sh", "scripts/test.sh", "scripts/tour.sh", ".ci/run"]
)
def test_bash_can_read_it(script: str) -> None:
    assert subprocess.run(["bash", "-n", script], cwd=CHECKOUT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: mount.sh STORE MOUNTPOINT [-o OPTIONS]"),
        (["store"], "usage: mount.sh STORE MOUNTPOINT [-o OPTIONS]"),
        (["store", "mount point", "more"], "usage: mount.sh STORE MOUNTPOINT [-o OPTIONS]"),
        (["store", "mount point", "-o"], "-o needs options"),
        (["--what", "store", "mount point"], "unknown option --what"),
        (["store", ""], "an empty path"),
        (["missing/store", "mount point"], "does not exist; create it first"),
    ],
)
def test_a_wrong_call_is_one_line_and_changes_nothing(
    arguments: list[str], message: str, folder: Path
) -> None:
    result = mount(*arguments, cwd=folder)
    assert result.returncode == 1
    assert message in result.stdout
    assert len(result.stdout.splitlines()) == 1
    assert list(folder.iterdir()) == []


@pytest.mark.serial
@pytest.mark.mounted
def test_mount_twice_unmount_as_told_and_mount_again(folder: Path) -> None:
    first = mount("store", "mount point", cwd=folder)
    assert first.returncode == 0, first.stdout
    (folder / "mount point" / "file").write_text("kept")

    second = mount("store", "mount point", cwd=folder)
    assert second.returncode == 0, second.stdout
    assert "already" in second.stdout

    told = first.stdout.splitlines()[-1]
    assert told == second.stdout.splitlines()[-1]
    command = told.removeprefix("unmount with: ")
    assert shlex.split(command)[1:] == ["umount", str(folder / "mount point")]
    subprocess.run(["bash", "-c", command], check=True, timeout=60)
    assert list((folder / "mount point").iterdir()) == []

    took_seconds: list[float] = []
    # The best of three, or of some more: other work on this machine must not decide.
    while len(took_seconds) < 3 or (min(took_seconds) >= 2 and len(took_seconds) < 15):
        begin = time.monotonic()
        again = mount("store", "mount point", cwd=folder)
        took_seconds.append(time.monotonic() - begin)
        assert again.returncode == 0, again.stdout
        assert (folder / "mount point" / "file").read_text() == "kept"
        subprocess.run(["bash", "-c", command], check=True, timeout=60)
    assert min(took_seconds) < 2


@pytest.mark.mounted
def test_a_mount_whose_daemon_died_is_mounted_anew(folder: Path) -> None:
    assert mount("store", "mount point", cwd=folder).returncode == 0
    (folder / "mount point" / "file").write_text("kept")
    vfs = CHECKOUT / ".venv/bin/vfs"
    facts = json.loads(subprocess.check_output([vfs, "info", "--json", folder / "mount point"]))
    with subprocess.Popen(["sleep", "60"], cwd=folder / "mount point") as still_inside:
        os.kill(facts["pid"], signal.SIGKILL)
        anew = mount("store", "mount point", "--supervise", cwd=folder)
        still_inside.kill()
    assert anew.returncode == 0, anew.stdout
    assert "already" not in anew.stdout
    assert f"clearing {folder / 'mount point'}: the daemon of this mount has died" in anew.stdout
    assert (folder / "mount point" / "file").read_text() == "kept"
    subprocess.run([vfs, "umount", folder / "mount point"], check=True, timeout=60)


@pytest.mark.mounted
def test_options_reach_the_mount_and_wrong_ones_are_refused(folder: Path) -> None:
    wrong = mount("store", "mount point", "-o", "no_such_option", cwd=folder)
    assert wrong.returncode != 0
    assert "no_such_option" in wrong.stdout
    made = mount("store", "mount point", "-o", "ro", cwd=folder)
    assert made.returncode == 0, made.stdout
    with pytest.raises(OSError, match="Read-only file system"):
        (folder / "mount point" / "file").touch()
    subprocess.run([CHECKOUT / ".venv/bin/vfs", "umount", folder / "mount point"], check=True, timeout=60)
