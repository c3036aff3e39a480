"""A script in a mount namespace of its own, where programs can be installed and devices opened to all.

Promises that nothing of it shows outside or stays behind: what is mounted there goes with its last process.
Needs root.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mounted.mounting import ROOT
from tests.mounted.programs import CLEAN_ENVIRONMENT

BIN = Path(sys.executable).parent

# A namespace begins with a copy of each mount. Those of tests that run beside this one must go: who unmounts
# waits for the end of a daemon, or wants to have a disk for itself, which the copy would put off.
LEAVE_OTHERS = """
while read -r _ _ _ _ point _; do
    case $point in
        "$tests"/* | "$temporary"/*) umount -lnic "$(printf '%b' "$point")" || true ;;
    esac
done <<<"$(tac /proc/self/mountinfo)"
"""

# As if `ln -s ... /sbin` had been done: /sbin is a folder of links to what was there, and of ours.
PRELUDE = """
sbin=$(readlink -f /sbin)
mkdir "$work/was" "$work/sbin"
mount --bind "$sbin" "$work/was"
cp -rs "$work/was/." "$work/sbin/"
ln -s "$bin/mount.fuse.vfs" "$bin/umount.fuse.vfs" "$work/sbin/"
mount --bind "$work/sbin" "$sbin"
mknod -m 666 "$work/fuse" c 10 229
mount --bind "$work/fuse" /dev/fuse
vfs() { "$bin/python" -m vfs "$@"; }
# A `!` that fails would not end the script.
is_no_mount() { if mountpoint -q "$1"; then echo "$1 is mounted"; return 1; fi; }
as_nobody=(
    setpriv --reuid=65534 --regid=65534 --clear-groups
    --inh-caps=+dac_read_search --ambient-caps=+dac_read_search --
)
"""


def apart(work: Path, script: str) -> list[str]:
    """The command that runs a script there. `work`: the folder of the test."""
    folders = f"tests={shlex.quote(str(work.parent))} temporary={shlex.quote(tempfile.gettempdir())}\n"
    words = folders + LEAVE_OTHERS + script
    return ["unshare", "--mount", "--propagation", "private", "bash", "-euc", words]


def in_namespace(work: Path, script: str) -> str:
    """Run a bash script with `set -eu`, `$work`, `$bin` and what the prelude makes; what it prints."""
    done = subprocess.run(
        apart(work, PRELUDE + script),
        cwd=ROOT,
        env={**CLEAN_ENVIRONMENT, "work": os.fspath(work), "bin": os.fspath(BIN)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
