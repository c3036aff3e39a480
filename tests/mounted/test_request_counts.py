"""What the daemon tells of the requests that it answered, and how the command shows it."""

import json
import os
from typing import Any

import pytest

from tests.mounted.mounting import MountedStore, vfs

pytestmark = pytest.mark.mounted


def counts(mounted: MountedStore) -> dict[str, Any]:
    """By operation, of `vfs info --json`."""
    requests = json.loads(vfs("info", "--json", mounted.path))["requests"]
    return {name: figures["count"] for name, figures in requests.items()}


def test_info_counts_what_programs_have_asked_for(mounted: MountedStore) -> None:
    mounted.remount("commit=300")  # no sync but the one that is asked for
    before = counts(mounted)
    for number in range(3):
        os.mkdir(mounted.path / f"folder-{number}")
    descriptor = os.open(mounted.path / "file", os.O_CREAT | os.O_RDWR)
    os.write(descriptor, bytes(5000))
    os.fsync(descriptor)
    os.close(descriptor)
    os.rename(mounted.path / "file", mounted.path / "renamed")
    for _ in range(2):
        with pytest.raises(OSError, match="No data"):
            os.getxattr(mounted.path / "renamed", "user.nothing")
    os.unlink(mounted.path / "renamed")
    os.listdir(mounted.path)
    after = counts(mounted)
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    expected = {"mkdir": 3, "create": 1, "fsync": 1, "rename": 1, "unlink": 1, "opendir": 1}
    assert {name: grown[name] for name in expected} == expected
    facts = json.loads(vfs("info", "--json", mounted.path))
    assert facts["written_bytes"] == 5000
    assert facts["requests"]["getxattr"]["errors"]["ENODATA"] >= 2
    for figures in (*facts["requests"].values(), facts["upkeep"]["commit"]):
        assert sum(found for _, found in figures["histogram_us"]) == figures["count"] > 0
        assert 0 < figures["p50_us"] <= figures["p99_us"] <= figures["max_us"]
    assert facts["requests"]["fsync"]["max_us"] >= facts["upkeep"]["sync"]["p50_us"] / 1.04


def test_the_table_has_a_line_for_each_kind(mounted: MountedStore) -> None:
    os.mkdir(mounted.path / "folder")
    lines = [line.split("\t") for line in vfs("info", "--requests", mounted.path).splitlines()]
    by_name = {name: fields for name, *fields in lines}
    count, p50, p99, longest, in_all, errors = by_name["mkdir"]
    assert (count, errors) == ("1", "0")
    assert float(p50) == pytest.approx(float(longest), rel=0.04)
    assert float(p99) == float(p50)
    assert float(in_all) == pytest.approx(float(longest) / 1e6, abs=2e-6)
    assert "symlink" not in by_name
    assert "\nrequests:" not in vfs("info", mounted.path)
    document = json.loads(vfs("info", "--requests", "--json", mounted.path))
    assert (document["pid"], document["requests"]["mkdir"]["count"]) == (mounted.pid, 1)


def test_without_a_mount_nothing_is_counted(mounted: MountedStore) -> None:
    mounted.unmount()
    assert json.loads(vfs("info", "--json", mounted.store))["requests"] is None
    vfs("info", "--requests", mounted.store, exit_code=1)
    mounted.mount()
