"""SEMANTICS.md names a test for each promise; each of them exists."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "SEMANTICS.md").read_text()


def named_tests() -> list[tuple[str, str]]:
    """(file, function or nothing) of all tests that the text names; `…` stands for the file named before."""
    found = []
    file = ""
    for name, function in re.findall(r"`(…|(?:\w+/)?test_\w+)(?:::(\w+))?`", TEXT):
        file = file if name == "…" else name
        found.append((file, function))
    return found


def test_every_test_that_is_named_exists() -> None:
    named = named_tests()
    assert len(named) > 30
    missing = [
        (file, function)
        for file, function in named
        if not (path := TESTS / f"{file}.py").exists()
        or (function and f"def {function}(" not in path.read_text())
    ]
    assert not missing
