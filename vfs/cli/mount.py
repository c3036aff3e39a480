"""`vfs mount STORE MOUNTPOINT`: starts the daemon of a mount, in the background or right here.

Promises to return only when the mount answers (in the background) or has ended (in the foreground).
"""

import shlex
from pathlib import Path

import click

from vfs.cli import late
from vfs.cli.output import print_lines, progress_bar
from vfs.cli.verb import to_path, verb
from vfs.errors import VfsError
from vfs.mount.launcher import ReadyPipe, launch
from vfs.mount.logs import DaemonLog, log_restarts
from vfs.mount.options import MountOptions, known_options, snapshot_option
from vfs.mount.prepare import prepare


@verb("mount")
@click.argument("store", type=to_path)
@click.argument("mountpoint", type=to_path)
@click.option(
    "-o", "texts", metavar="OPTIONS", multiple=True, help=f"With commas between: {known_options()}."
)
@click.option("--read-only", is_flag=True, help="The same as -o ro.")
@click.option("--snapshot", metavar="NAME", help="Mount this snapshot of the store, read-only.")
@click.option("--foreground", is_flag=True, help="Stay here until unmounted, and log to stderr.")
@click.option("--supervise", is_flag=True, help="Start the daemon again when it dies, and log that.")
@click.option("--ready-fd", type=int, hidden=True)
@click.option("--restarts", type=int, hidden=True)
@click.option("--over-dead", is_flag=True, hidden=True)
@click.option("--log-to-stderr", is_flag=True, hidden=True)
def command(
    store: Path,
    mountpoint: Path,
    texts: tuple[str, ...],
    read_only: bool,
    snapshot: str | None,
    foreground: bool,
    supervise: bool,
    ready_fd: int | None,
    restarts: int | None,
    over_dead: bool,
    log_to_stderr: bool,
) -> int:
    """Mount STORE at the empty folder MOUNTPOINT."""
    if snapshot is not None:
        texts = (*texts, snapshot_option(snapshot))
    options = MountOptions.parse(texts, read_only=read_only)
    if foreground:
        pipe = ReadyPipe(ready_fd, supervised=restarts is not None)
        try:
            if supervise:
                places = prepare(store, mountpoint, options)
                log_restarts(places.store, foreground=ready_fd is None)
                return late.Supervisor(
                    late.Place(*places, texts, read_only), pipe, foreground=ready_fd is None
                ).run()
            log = DaemonLog(to_file=ready_fd is not None and not log_to_stderr, debug=options.debug)
            places = prepare(store, mountpoint, options, again=bool(restarts))
            late.Daemon(
                places.store, places.point, options, log, pipe, restarts=restarts, over_dead=over_dead
            ).run()
        except VfsError as error:
            pipe.failed(str(error))
            raise
        return 0
    print_lines([mount_in_background(store, mountpoint, options, texts, read_only, supervise)])
    return 0


def mount_in_background(
    store: Path,
    mountpoint: Path,
    options: MountOptions,
    texts: tuple[str, ...],
    read_only: bool,
    supervise: bool,
) -> str:
    """Mount, and return what there is to say of it when it answers. `texts` are the options as given."""
    places = prepare(store, mountpoint, options)
    with progress_bar(f"mounting {places.store}"):
        pid = launch(places.store, places.point, texts, read_only=read_only, supervise=supervise)
    point = shlex.quote(str(places.point))
    return f"mounted {places.store} at {places.point} (pid {pid}); unmount with: vfs umount {point}"
