"""What the daemon sets for its mount in sysfs: only where that is better, and where it may."""

from pathlib import Path

import pytest

from vfs.mount.tuning import READ_AHEAD_KIB, UNWRITTEN_BYTES, tune_mount

DEVICE = "0:77"


def knobs(folder: Path, read_ahead_kb: str, max_bytes: str) -> Path:
    """A folder like /sys/class/bdi, with one mount."""
    (folder / DEVICE).mkdir()
    (folder / DEVICE / "read_ahead_kb").write_text(read_ahead_kb + "\n")
    (folder / DEVICE / "max_bytes").write_text(max_bytes + "\n")
    return folder


def told(folder: Path) -> list[int]:
    return [int((folder / DEVICE / name).read_text()) for name in ("read_ahead_kb", "max_bytes")]


def test_it_reads_further_ahead_and_keeps_less_of_what_is_written(tmp_path: Path) -> None:
    tune_mount(DEVICE, knobs(tmp_path, "128", str(200 << 20)))
    assert told(tmp_path) == [READ_AHEAD_KIB, UNWRITTEN_BYTES]


def test_what_is_better_already_stays(tmp_path: Path) -> None:
    tune_mount(DEVICE, knobs(tmp_path, "4096", str(1 << 20)))
    assert told(tmp_path) == [4096, 1 << 20]


def test_where_there_is_no_knob_or_none_for_us_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune_mount(DEVICE, tmp_path)
    knobs(tmp_path, "128", "nonsense")

    def refuse(path: Path, text: str) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    tune_mount(DEVICE, tmp_path)
    assert (tmp_path / DEVICE / "read_ahead_kb").read_text() == "128\n"
