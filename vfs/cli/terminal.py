"""Tables and bars for somebody who looks at a terminal. Never prints into a pipe: `output` decides that.

Promises that no text is taken for mark-up. Rich takes a while to import, so only `late` knows this module.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text


def draw_table(title: str, headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """A table under a title. All columns but the first are numbers."""
    table = Table(title=Text(title))
    for number, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def draw_rows(
    headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, numbers: Collection[str]
) -> None:
    """Rows without a frame; where room is short only the last column is folded. `numbers`: headings of
    columns that are such."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        side: Literal["left", "right"] = "right" if heading in numbers else "left"
        table.add_column(Text(heading), justify=side, no_wrap=heading != headings[-1], overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def draw_facts(facts: Iterable[tuple[str, str]], title: str) -> None:
    """A table of what things are, and how much or many of them there is."""
    table = Table(title=Text(title), show_header=False)
    for label, value in facts:
        table.add_row(Text(label, style="bold"), Text(value))
    Console().print(table)


@contextmanager
def draw_bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr that is gone in the end. Call what comes with (done, total, label)."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def on_progress(done: int, total: int, label: str) -> None:
            bar.update(task, completed=done, total=total or None, description=label)

        yield on_progress
