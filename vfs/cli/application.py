"""The `vfs` command as a whole: finds the verb, runs it, and ends with one line whatever went wrong.

Promises an exit code and at most one line on stderr for every error, and with --json exactly one document
on stdout. Verbs are imported when they are used, so that the light ones start fast.
"""

import importlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence

import click

from vfs import __version__
from vfs.cli.output import one_line, warn
from vfs.cli.verb import DEBUG_VARIABLE, ExitCodes, Failure, unexpected, usage_text

VERBS = {
    "mkfs": "vfs.cli.mkfs",
    "mount": "vfs.cli.mount",
    "umount": "vfs.cli.umount",
    "info": "vfs.cli.info",
    "flush": "vfs.cli.flush",
    "gc": "vfs.cli.gc",
    "import": "vfs.cli.import_",
    "export": "vfs.cli.export",
    "copy": "vfs.cli.copy",
    "restore": "vfs.cli.restore",
    "rollback": "vfs.cli.rollback",
    "snapshot": "vfs.cli.snapshot",
    "diff": "vfs.cli.diff",
    "clone": "vfs.cli.clone",
    "fsck": "vfs.cli.fsck",
    "mount.fuse.vfs": "vfs.cli.system_mount",
    "umount.fuse.vfs": "vfs.cli.system_umount",
}
"""Where each verb lives, in the order of the help text."""

CODES = ExitCodes()


class Verbs(click.Group):
    """The verbs, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = VERBS.get(cmd_name)
        if module is None:
            return None
        command = importlib.import_module(module).command
        assert isinstance(command, click.Command)
        return command


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vfs", message="%(prog)s %(version)s")
def application() -> None:
    """A durable file system in an ordinary directory, the STORE."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="surrogateescape")  # paths are printed as the bytes that they are
    logging.lastResort = WarningLines(logging.WARNING)
    try:
        code = application.main(given, prog_name="vfs", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads what we print. Python must not try to flush it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CODES.error
    except Failure as failure:
        return _fail(failure, given)
    except click.UsageError as error:
        return _fail(Failure(usage_text(error), CODES.usage), given)
    except (KeyboardInterrupt, click.Abort):
        return _fail(Failure("interrupted", CODES.interrupted), given)
    except Exception as error:
        return _fail(Failure(unexpected(error), CODES.error), given, error)
    return int(code or 0)


def system_mount() -> int:
    """What mount(8) runs for the type fuse.vfs."""
    return main(["mount.fuse.vfs", *sys.argv[1:]])


def system_umount() -> int:
    """What umount(8) runs for it."""
    return main(["umount.fuse.vfs", *sys.argv[1:]])


class WarningLines(logging.Handler):
    """Shows warnings of the library as lines of ours, in a process that keeps no log."""

    def emit(self, record: logging.LogRecord) -> None:
        warn(record.getMessage())


def _fail(failure: Failure, given: Sequence[str], cause: BaseException | None = None) -> int:
    if _debugging(given):
        traceback.print_exception(cause or failure)
    text = one_line(failure.text)
    if "--json" in given:
        print(json.dumps({"error": text}))
    print(f"vfs: {text}", file=sys.stderr)
    return failure.exit_code


def _debugging(given: Sequence[str]) -> bool:
    options = ",".join(given).split(",") if "mount" in given else []
    return bool(os.environ.get(DEBUG_VARIABLE)) or "debug" in options
