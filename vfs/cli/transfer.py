"""What `vfs import` and `vfs export` share: how far they came, and how they say it.

Promises that whatever ends the work early, the error says what had been moved by then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vfs.cli.output import OnProgress, counted, print_json, print_lines, progress_bar, size_text, warn
from vfs.cli.verb import ExitCodes, Failure
from vfs.errors import VfsError
from vfs.trees.so_far import SO_FAR, so_far

STREAM = "-"


class Moved:
    """How far it is, in words."""

    def __init__(self) -> None:
        self.text = ""


@contextmanager
def moving(what: str, *, quiet: bool) -> Iterator[OnProgress]:
    """A bar during the work; an error, or Ctrl-C, becomes one line that says how far it came."""
    moved = Moved()
    with progress_bar(what, quiet=quiet) as bar:

        def on_progress(done: int, total: int, text: str) -> None:
            moved.text = text
            bar(done, total, text)

        try:
            yield on_progress
        except VfsError as error:
            raise Failure(_with_figures(str(error), moved), ExitCodes().error) from error
        except KeyboardInterrupt as error:
            raise Failure(_with_figures("interrupted", moved), ExitCodes().interrupted) from error


def _with_figures(text: str, moved: Moved) -> str:
    return f"{text} {so_far(moved.text)}" if moved.text and SO_FAR not in text else text


def show(done: str, outcome: dict[str, Any], *, as_json: bool, silent: bool = False) -> int:
    """Print what came of it; returns the exit code."""
    if as_json:
        print_json(outcome)
    else:
        for problem in outcome["problems"]:
            warn(problem)
        untold = outcome["problem_count"] - len(outcome["problems"])
        if untold > 0:
            warn(f"... and {untold} more")
        if not silent:
            print_lines([_line(done, outcome)])
    return ExitCodes().error if outcome["problem_count"] else 0


def _line(done: str, outcome: dict[str, Any]) -> str:
    rate = outcome["bytes"] / max(outcome["seconds"], 0.001) / 1e6
    words = [
        counted(outcome["files"], "file"),
        counted(outcome["directories"], "folder"),
        f"{size_text(outcome['bytes'])} at {rate:,.0f} MB/s",
    ]
    words += [f"{count:,} {what} left out" for what, count in outcome["skipped"].items()]
    if outcome["problem_count"]:
        words.append(counted(outcome["problem_count"], "problem"))
    return f"{done}: {', '.join(words)}"
