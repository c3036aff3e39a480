"""What all verbs share: how their errors end the process, and how they name a path.

Promises that every error leaves as one `Failure` with a line and an exit code. A new verb is one file with a
`command` made by `@verb(...)`, and one line in `application.VERBS`.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from vfs.errors import VfsError
from vfs.sizes import parse_size

DEBUG_VARIABLE = "VFS_DEBUG"
"""Set in the environment, errors show their traceback."""


class ExitCodes(NamedTuple):
    """How the ways to fail leave the process."""

    error: int = 1
    usage: int = 2
    interrupted: int = 130


class Failure(Exception):
    """The end of a verb: what to say, in one line, and the exit code."""

    def __init__(self, text: str, exit_code: int) -> None:
        self.text = text
        self.exit_code = exit_code
        super().__init__(text)


class Verb(click.Command):
    """A click command whose errors become Failures with the verb's own exit codes."""

    exit_codes = ExitCodes()

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise Failure(usage_text(error), self.exit_codes.usage) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VfsError as error:
            raise Failure(str(error), self.exit_codes.error) from error
        except click.UsageError as error:
            raise Failure(usage_text(error), self.exit_codes.usage) from error
        except (Failure, click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # said already; or whoever reads our output may have enough of it
        except OSError as error:
            raise Failure(_os_error(error), self.exit_codes.error) from error
        except KeyboardInterrupt as error:
            raise Failure("interrupted", self.exit_codes.interrupted) from error
        except Exception as error:
            raise Failure(unexpected(error), self.exit_codes.error) from error


def usage_text(error: click.UsageError) -> str:
    """What is wrong with a command line, and where its help is."""
    context = error.ctx
    path = "vfs" if context is None else context.command_path
    words = error.format_message().rstrip()
    if (
        isinstance(error, click.exceptions.NoArgsIsHelpError)
        and context is not None
        and isinstance(context.command, click.Group)
    ):
        # Its message is all of the help, which is no line.
        words = f"give a command: {', '.join(context.command.list_commands(context))}"
    return (
        f"{words} see: {path} --help" if words.endswith("?") else f"{words.rstrip('.')}; see: {path} --help"
    )


def verb(
    name: str, exit_codes: ExitCodes | None = None, *, short: str | None = None
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function the verb of that name. `short` stands in the list of all verbs, in 56 letters at most,
    else the first sentence of its docstring does."""

    class Named(Verb):
        pass

    if exit_codes is not None:
        Named.exit_codes = exit_codes
    settings = {"help_option_names": ["-h", "--help"]}
    return click.command(name, cls=Named, short_help=short, context_settings=settings)


def unexpected(error: Exception) -> str:
    """The line for a fault of ours."""
    name = f"{type(error).__name__}: {error}"
    return f"unexpected {name}; please report it, with what {DEBUG_VARIABLE}=1 shows"


def _os_error(error: OSError) -> str:
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{where}{error.strerror or error}; check that path and what you may do with it"


def to_path(text: str) -> Path:
    """The type of path arguments: any bytes, but not empty, which would mean the current folder."""
    if not text:
        raise click.BadParameter("the path is empty.")
    return Path(text)


def to_size(text: str) -> int:
    """The type of sizes: 64K, 1M, or bytes."""
    size = parse_size(text)
    if size is None:
        raise click.BadParameter(f"{text!r} is no size; give one such as 512K or 1M.")
    return size


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

target_argument = click.argument("target", type=to_path, metavar="STORE|MOUNTPOINT")
