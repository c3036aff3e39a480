"""`vfs mount STORE MOUNTPOINT`: starts the daemon of a mount, in the background or right here.

Promises to return only when the mount answers (in the background) or has ended (in the foreground).
"""

import shlex
from pathlib import Path

import click

from vfs.cli.output import print_lines, progress_bar
from vfs.cli.verb import to_path, verb
from vfs.errors import VfsError
from vfs.mount.daemon import Daemon
from vfs.mount.launcher import ReadyPipe, launch
from vfs.mount.logs import DaemonLog
from vfs.mount.options import MountOptions, known_options
from vfs.mount.prepare import prepare


@verb("mount")
@click.argument("store", type=to_path)
@click.argument("mountpoint", type=to_path)
@click.option(
    "-o", "texts", metavar="OPTIONS", multiple=True, help=f"With commas between: {known_options()}."
)
@click.option("--read-only", is_flag=True, help="The same as -o ro.")
@click.option("--foreground", is_flag=True, help="Stay here until unmounted, and log to stderr.")
@click.option("--ready-fd", type=int, hidden=True)
def command(
    store: Path,
    mountpoint: Path,
    texts: tuple[str, ...],
    read_only: bool,
    foreground: bool,
    ready_fd: int | None,
) -> None:
    """Mount STORE at the empty folder MOUNTPOINT."""
    options = MountOptions.parse(texts, read_only=read_only)
    if foreground:
        _serve(store, mountpoint, options, ready_fd)
        return
    places = prepare(store, mountpoint, options)
    with progress_bar(f"mounting {places.store}"):
        pid = launch(places.store, places.point, texts, read_only=read_only)
    point = shlex.quote(str(places.point))
    print_lines([f"mounted {places.store} at {places.point} (pid {pid}); unmount with: vfs umount {point}"])


def _serve(store: Path, mountpoint: Path, options: MountOptions, ready_fd: int | None) -> None:
    pipe = ReadyPipe(ready_fd)
    log = DaemonLog(to_file=ready_fd is not None, debug=options.debug)
    try:
        places = prepare(store, mountpoint, options)
        Daemon(places.store, places.point, options, log, pipe.ready).run()
    except VfsError as error:
        pipe.failed(str(error))
        raise
