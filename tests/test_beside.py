"""A test that goes wrong leaves no process, and waits for none that nobody has told to end."""

import signal
import subprocess

import pytest

from tests import beside as ending
from tests.beside import beside


def go_wrong(program: "subprocess.Popen[bytes]") -> None:
    with beside(program):
        assert program.stdout is not None
        program.stdout.readline()
        raise KeyError("what was promised")


@pytest.mark.parametrize(
    ("command", "seconds", "number"),
    [
        ("echo; exec sleep 600", 60.0, signal.SIGTERM),
        ("trap '' TERM; echo; exec sleep 600", 0.05, signal.SIGKILL),
    ],
)
def test_what_runs_beside_a_test_that_fails_is_ended(
    command: str, seconds: float, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "ENDING_SECONDS", seconds)
    program = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE)
    with pytest.raises(KeyError, match="what was promised"):
        go_wrong(program)
    assert program.poll() == -number
