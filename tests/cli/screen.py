"""A terminal that a test can read: all that is drawn goes there."""

import io

import pytest
from rich.console import Console

from vfs.cli import output, terminal


def look_at_a_screen(monkeypatch: pytest.MonkeyPatch, *, width: int = 100) -> io.StringIO:
    """From here on somebody looks at a terminal of that width; returns what it shows."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(terminal, "Console", lambda **options: console)
    monkeypatch.setattr(output, "_is_terminal", lambda stream: True)
    return screen
