"""What is seen of a daemon without its owner: calls to the disk, the last figures, where it stands."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vfs.backing.inflight import LONG, calls_under_way, disk_call
from vfs.mount import watch
from vfs.mount.watch import Watch, disk_is_slow


@contextmanager
def waiting_for_disk(what: str, name: str) -> Iterator[None]:
    """Another thread that is in a call to the disk."""
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        with disk_call(what, name):
            begun.set()
            end.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        end.set()
        thread.join()


def make_watch(device: str | None = None) -> Watch:
    return Watch({"pid": 7}, lambda: {"files": 3}, lambda: 2, lambda: {"read_bytes": 9}, device)


def test_calls_are_seen_while_they_last_the_oldest_first() -> None:
    assert calls_under_way() == []
    with waiting_for_disk("sync of", "log/chunk-1"):
        with disk_call("read of", "packs/x"):
            first, second = calls_under_way()
            assert (first.what, second.what) == ("sync of log/chunk-1", "read of packs/x")
            assert first.seconds >= second.seconds
            assert second.thread == threading.get_ident()
            with disk_call("commit of", "index.db"):
                assert [call.what for call in calls_under_way()][1] == "commit of index.db"
            assert [call.what for call in calls_under_way()][1] == "read of packs/x"
        assert len(calls_under_way()) == 1
        assert calls_under_way(30) == []
    assert calls_under_way() == []


def test_a_call_that_fails_is_over() -> None:
    with pytest.raises(OSError, match="gone"), disk_call("read of", "x"):
        raise OSError("gone")
    assert calls_under_way() == []


def test_what_rightly_takes_long_is_not_a_slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(watch, "SHOWN_SECONDS", 0.0)
    assert not disk_is_slow()
    with waiting_for_disk(LONG, "index.db"):
        assert not disk_is_slow()
        assert make_watch().longest_wait() is None
        with waiting_for_disk("sync of", "log/chunk-1"):
            assert disk_is_slow()
            wait = make_watch().longest_wait()
            assert re.fullmatch(r"sync of log/chunk-1 since \d+\.\d s", str(wait))


def test_the_last_figures_come_with_their_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SHOWN_SECONDS", 0.0)
    seen = make_watch()
    assert seen.glimpse(None) == {
        "pid": 7,
        "files": 3,
        "read_bytes": 9,
        "figures_age_seconds": None,
        "waiting": [],
        "waiting_requests": 2,
    }
    full = seen.complete({"files": 1, "packs": 5})
    assert (full["pid"], full["files"], full["packs"], full["figures_age_seconds"]) == (7, 3, 5, 0.0)
    time.sleep(0.11)
    with waiting_for_disk("sync of", "log/chunk-1"):
        later = seen.glimpse(None)
    assert (later["packs"], later["files"]) == (5, 3)
    assert later["figures_age_seconds"] >= 0.1
    (wait,) = later["waiting"]
    assert (wait["what"], wait["thread"]) == ("sync of log/chunk-1", "worker")


def test_an_owner_that_computes_is_found_in_its_code() -> None:
    (wait,) = make_watch().glimpse(3.21)["waiting"]
    assert wait["what"].startswith("_waits in vfs/mount/watch.py, line ")
    assert (wait["seconds"], wait["thread"]) == (3.2, "owner")


def test_requests_are_counted_by_the_kernel_where_it_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CONNECTIONS", tmp_path)
    assert make_watch("0:53").waiting_requests() == 2
    (tmp_path / "53").mkdir()
    (tmp_path / "53" / "waiting").write_text("17\n")
    assert make_watch("0:53").waiting_requests() == 17
