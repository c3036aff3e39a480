"""The table of requests for people: durations with three digits, what never occurred left out."""

from typing import Any

import pytest

from tests.cli.screen import look_at_a_screen
from vfs.cli.requests import duration_text, print_requests
from vfs.mount.requests import Requests, Upkeep


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 µs"),
        (1e-8, "0.01 µs"),
        (4.214e-6, "4.21 µs"),
        (9.996e-6, "10.0 µs"),
        (99.96e-6, "100 µs"),
        (0.0009996, "1.00 ms"),
        (0.0342, "34.2 ms"),
        (0.9996, "1.00 s"),
        (75.25, "75.2 s"),
        (999.4, "999 s"),
        (1200, "20 min"),
        (7 * 3600 + 1, "420 min"),
        (36_000, "10.0 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    requests, upkeep = Requests(), Upkeep()
    for _ in range(1200):
        requests["lookup"].note(2_000)
    requests["getxattr"].note(4_096)
    requests["getxattr"].failed(61)
    upkeep.commit.note(4_000_000)
    upkeep.committed(7)
    facts: dict[str, Any] = {
        "mounted_seconds": 61.5,
        "read_bytes": 0,
        "written_bytes": 2048,
        "requests": requests.figures(),
        "upkeep": upkeep.figures(),
    }
    screen = look_at_a_screen(monkeypatch, width=80)
    print_requests(facts)
    shown = screen.getvalue().splitlines()
    lookup, getxattr = (next(line for line in shown if line.startswith(name)) for name in ("look", "getx"))
    assert lookup.split() == ["lookup", "1,200", *("2.00", "µs") * 3, "2.40", "ms"]
    assert getxattr.split() == ["getxattr", "1", *("4.10", "µs") * 4, "1"]
    assert any(line.startswith("commits of the log") for line in shown)
    assert not any("checkpoint" in line or "write" in line.split()[:1] for line in shown)
