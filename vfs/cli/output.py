"""What verbs print: tables and bars on a terminal, plain lines elsewhere, one JSON document when asked.

Promises that what goes into a pipe holds no colours, no bars and one fact a line. Never prints an error:
the application does.
"""

import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from vfs.cli import late

OnProgress = Callable[[int, int, str], None]
UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def one_line(text: str) -> str:
    """The text without line breaks or other control characters, which a path may hold."""
    return "".join(
        char if char.isprintable() or "\udc80" <= char <= "\udcff" else repr(char)[1:-1] for char in text
    )


def print_json(document: Mapping[str, Any]) -> None:
    """The one document of --json."""
    print(json.dumps(document, indent=2 if sys.stdout.isatty() else None))


def on_terminal() -> bool:
    """Whether somebody looks at it, rather than a program."""
    return _is_terminal(sys.stdout)


def print_table(title: str, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """A table for people, and nothing where no terminal is. All columns but the first are numbers."""
    if on_terminal():
        late.draw_table(one_line(title), headings, _cells(rows))


def print_rows(
    headings: tuple[str, ...],
    rows: Iterable[tuple[str, ...]],
    plain_rows: Iterable[tuple[str, ...]],
    *,
    numbers: Collection[str],
) -> None:
    """Rows as a table for people, of which only the last column is folded where room is short; else a line
    each, with tabs between, for programs: no cell has one. `numbers`: headings of columns that are such."""
    if on_terminal():
        late.draw_rows(headings, _cells(rows), numbers=numbers)
        return
    for row in _cells(plain_rows):
        print("\t".join(row))


def print_facts(facts: Mapping[str, Any], title: str) -> None:
    """Facts as a table, or as `key: value` lines where no terminal is."""
    if on_terminal():
        shown = [(_label(key), one_line(_pretty(key, value))) for key, value in facts.items()]
        late.draw_facts(shown, one_line(title))
        return
    for key, value in facts.items():
        print(one_line(f"{key}: {_plain(value)}"))


def print_lines(lines: list[str]) -> None:
    """Plain lines, as they are."""
    for line in lines:
        print(one_line(line))


def warn(text: str) -> None:
    """Something that the user should know, though the verb goes on."""
    print(f"vfs: warning: {one_line(text)}", file=sys.stderr)


@contextmanager
def progress_bar(what: str, *, quiet: bool = False) -> Iterator[OnProgress]:
    """A bar on stderr during long work, if that is a terminal. Call what comes with (done, total, what)."""
    if quiet or not _is_terminal(sys.stderr):
        yield lambda done, total, text: None
        return
    with late.draw_bar(one_line(what)) as bar:
        yield lambda done, total, text: bar(done, total, one_line(f"{what}: {text}" if text else what))


def counted(number: int, what: str) -> str:
    """1 file, 2 files."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def size_text(size_bytes: int) -> str:
    """A size for people: 1.5 GiB."""
    if abs(size_bytes) < 1024:
        return f"{size_bytes} bytes"
    value = size_bytes / 1024
    step = 0
    while abs(value) >= 1023.95 and step < len(UNITS) - 1:
        value /= 1024
        step += 1
    return f"{value:.1f} {UNITS[step]}"


def _label(key: str) -> str:
    return key.removesuffix("_bytes").removesuffix("_seconds").replace("_", " ")


def _pretty(key: str, value: Any) -> str:
    if key.endswith("_bytes") and isinstance(value, int):
        return size_text(value)
    if key.endswith("_seconds") and isinstance(value, int | float):
        return f"{value:g} s"
    if isinstance(value, int) and not isinstance(value, bool) and key not in ("pid", "format"):
        return f"{value:,}"
    return _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_plain, value))
    return str(value)


def _cells(rows: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    return (tuple(one_line(cell) for cell in row) for row in rows)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()  # None: it was closed before we began
