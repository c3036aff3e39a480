"""Set-id bits and capabilities after every change of contents and owners: as on the host's file system, but
for what SEMANTICS.md says.

In privileged_changes.py is what is done, by whom, to which files.
"""

import errno
import json
import os
import stat
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.mounted import privileged_changes
from tests.mounted.mounting import MountedStore
from tests.mounted.privileged_changes import CHANGES, MODES, USERS, name_of
from tests.mounted.programs import needs_root, run

pytestmark = [pytest.mark.mounted, needs_root]

OF_OWNERS = {name for name in CHANGES if name.startswith("chown")}
OF_SIZES = {name for name in CHANGES if "truncate" in name.lower() or "TRUNC" in name}
OF_CONTENT = CHANGES.keys() - OF_OWNERS - {"empty write", "new times", "reading"}
NOT_THE_OWNERS = ("one of the group", "a stranger")


class Outcome(NamedTuple):
    """What became of a file."""

    error: int
    at_once: int
    mode: int
    capable: bool

    def privileges(self) -> int:
        """What the file granted to its users at any time after the change."""
        modes = self.at_once | self.mode
        return modes & (0o6000 if modes & stat.S_IXGRP else 0o4000) | self.capable


def outcomes(folder: Path, user: str) -> dict[str, Outcome]:
    folder.mkdir()
    folder.chmod(0o777)
    said = run(sys.executable, privileged_changes.__file__, user, cwd=folder)
    return {name: Outcome(*outcome) for name, outcome in json.loads(said).items()}


def as_documented(user: str, change: str, mode: int, capable: bool, host: Outcome) -> Outcome:
    """What is to become of a file here, if that became of it on the host's file system."""
    may_keep = user == "root" or change == "mapped write"
    if change in OF_CONTENT and may_keep and not host.error:
        # Nobody tells us who writes, so nobody may keep the bits.
        host = host._replace(mode=without_privileges(host.mode))
        if capable and change not in OF_SIZES and change != "mapped write":
            # The kernel asks for the capabilities to go as it asks for the bits to go.
            host = host._replace(mode=host.mode & ~stat.S_ISGID)
    if change in OF_OWNERS | OF_SIZES and mode & stat.S_ISGID and not mode & stat.S_IXGRP:
        host = host._replace(mode=host.mode | stat.S_ISGID)
    if change == "chown to nobody else" and user in NOT_THE_OWNERS:
        # The kernel lets that pass, and has taken the capabilities away before it asks us.
        refused = without_privileges(mode) != mode
        host = host._replace(error=errno.EPERM if refused else 0, capable=False)
    return host


def without_privileges(mode: int) -> int:
    return mode & ~0o6000 if mode & stat.S_IXGRP else mode & ~0o4000


def test_privileges_go_as_on_the_host(shared: MountedStore, tmp_path: Path) -> None:
    kept = {}
    for user in USERS:
        host, ours = outcomes(tmp_path / user, user), outcomes(shared.path / user, user)
        for change in CHANGES:
            for mode in MODES:
                for capable in (False, True):
                    name = name_of(change, mode, capable)
                    here, there = ours[name], host[name]
                    told = f"{name} by {user}: {here} here, {there} on the host"
                    assert not here.privileges() & ~there.privileges(), told
                    expected = as_documented(user, change, mode, capable, there)
                    # Who may keep the bits sees them until the kernel has written its pages.
                    assert here.at_once in (expected.mode, there.at_once), told
                    assert here._replace(at_once=0) == expected._replace(at_once=0), told
                    kept[f"{user}/{name}"] = here.mode
    shared.remount()
    # What is stored is what was shown.
    assert {name: stat.S_IMODE(os.stat(shared.path / name).st_mode) for name in kept} == kept
