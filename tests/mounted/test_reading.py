"""On the real mount pyfuse3 asks our turn at reading for each request, and not a lock that it had before."""

import os
import sys
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore

pytestmark = pytest.mark.mounted

REQUESTS = 50

NOTING = """
import os, sys
from vfs.cli import main
from vfs.mount.reading import ReadingTurn
enter = ReadingTurn.__aenter__
def noted(turn):
    os.write(notes, b".")
    return enter(turn)
notes = os.open(os.environ["VFS_NOTES"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
ReadingTurn.__aenter__ = noted
sys.exit(main())
"""


def test_each_request_is_read_in_its_turn(mounted: MountedStore, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    mounted.unmount()
    mounted.command = (sys.executable, "-c", NOTING)
    mounted.mount(environment={"VFS_NOTES": str(notes)})
    before = notes.stat().st_size
    for number in range(REQUESTS):
        assert not os.path.exists(mounted.path / f"nothing-{number}")
    assert notes.stat().st_size - before >= REQUESTS
