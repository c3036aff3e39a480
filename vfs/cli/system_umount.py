"""`umount.fuse.vfs MOUNTPOINT [-flnrv] [-t TYPE]`: what umount(8) runs for the type fuse.vfs.

Promises what `vfs umount` promises: that the store is closed when it returns. Without it umount(8) works too,
and returns a moment before.
"""

from pathlib import Path

import click

from vfs.cli.output import print_lines
from vfs.cli.system_mount import CODES
from vfs.cli.verb import to_path, verb
from vfs.mount.unmount import unmount


@verb("umount.fuse.vfs", CODES, short="What umount(8) runs, from /sbin.")
@click.argument("mountpoint", type=to_path)
@click.option("-l", "lazy", is_flag=True, help="Take it off the tree although programs still use it.")
@click.option("-f", "force", is_flag=True, help="Nothing: a daemon that hangs is taken off with -l.")
@click.option("-n", "no_mtab", is_flag=True, help="Nothing: there is no mtab.")
@click.option("-r", "read_only", is_flag=True, help="Nothing: a busy mount stays as it is.")
@click.option("-v", "verbose", is_flag=True, help="Say what was done.")
@click.option("-t", "kind", metavar="TYPE", help="Nothing: what is mounted there says it.")
def command(
    mountpoint: Path,
    lazy: bool,
    force: bool,
    no_mtab: bool,
    read_only: bool,
    verbose: bool,
    kind: str | None,
) -> None:
    """Unmount MOUNTPOINT for umount(8), installed as /sbin/umount.fuse.vfs."""
    outcome = unmount(mountpoint, lazy=lazy)
    if verbose:
        print_lines([f"unmounted {mountpoint}: {outcome.value}"])
