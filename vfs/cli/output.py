"""What verbs print: tables and bars on a terminal, plain lines elsewhere, one JSON document when asked.

Promises that what goes into a pipe holds no colours, no bars and one fact a line. Never prints an error:
the application does.
"""

import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

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
    return Console().is_terminal


def print_table(title: str, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """A table for people, and nothing where no terminal is. All columns but the first are numbers."""
    console = Console()
    if console.is_terminal:
        table = Table(title=Text(one_line(title)))
        for number, heading in enumerate(headings):
            table.add_column(Text(heading), justify="right" if number else "left")
        for row in rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        console.print(table)


def print_rows(
    headings: tuple[str, ...],
    rows: Iterable[tuple[str, ...]],
    plain_rows: Iterable[tuple[str, ...]],
    *,
    numbers: Collection[str],
) -> None:
    """Rows as a table for people, of which only the last column is folded where room is short; else a line
    each, with tabs between, for programs: no cell has one. `numbers`: headings of columns that are such."""
    console = Console()
    if not console.is_terminal:
        for row in plain_rows:
            print("\t".join(one_line(cell) for cell in row))
        return
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        side: Literal["left", "right"] = "right" if heading in numbers else "left"
        table.add_column(Text(heading), justify=side, no_wrap=heading != headings[-1], overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    console.print(table)


def print_facts(facts: Mapping[str, Any], title: str) -> None:
    """Facts as a table, or as `key: value` lines where no terminal is."""
    console = Console()
    if not console.is_terminal:
        for key, value in facts.items():
            print(one_line(f"{key}: {_plain(value)}"))
        return
    table = Table(title=Text(one_line(title)), show_header=False)
    for key, value in facts.items():
        table.add_row(Text(_label(key), style="bold"), Text(one_line(_pretty(key, value))))
    console.print(table)


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
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda done, total, text: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(one_line(what), total=None)

        def on_progress(done: int, total: int, text: str) -> None:
            label = f"{what}: {text}" if text else what
            bar.update(task, completed=done, total=total or None, description=one_line(label))

        yield on_progress


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
    return str(value)
