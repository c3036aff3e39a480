"""The tour of snapshots: the script that makes it does what the page says, and the page is of this script."""

import os
import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "tour-snapshots.md"


def commands(page: str) -> list[str]:
    """What was typed in it, and its paragraphs."""
    return re.findall(r"^\$ .*$", page, re.MULTILINE)


def paragraphs(page: str) -> str:
    """What stands between the commands."""
    return re.sub(r"^```$.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.mounted
@pytest.mark.timeout(600)
def test_the_script_ends_well_and_the_page_is_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [CHECKOUT / "scripts" / "tour.sh"],
        env={**os.environ, "PACKAGES": "2", "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert list(tmp_path.iterdir()) == []
    page = PAGE.read_text()
    assert commands(done.stdout) == commands(page)
    assert paragraphs(done.stdout) == paragraphs(page)
