"""`mount.fuse.vfs STORE MOUNTPOINT [-sfnv] [-o OPTIONS] [-t TYPE]`: what mount(8) runs for the type fuse.vfs.

Promises the exit codes of mount(8). Never does more than `vfs mount` does.
"""

from pathlib import Path

import click

from vfs.cli.mount import mount_in_background
from vfs.cli.output import print_lines, warn
from vfs.cli.verb import ExitCodes, to_path, verb
from vfs.errors import MountError
from vfs.mount.fstab import from_fstab
from vfs.mount.mountinfo import VFS_TYPE
from vfs.mount.options import MountOptions
from vfs.mount.prepare import prepare

CODES = ExitCodes(error=32, usage=1, interrupted=8)
"""Of mount(8): mount failure, incorrect invocation, user interrupt."""


@verb("mount.fuse.vfs", CODES, short="What mount(8) runs, from /sbin.")
@click.argument("store", type=to_path)
@click.argument("mountpoint", type=to_path)
@click.option("-o", "texts", metavar="OPTIONS", multiple=True, help="As in /etc/fstab.")
@click.option("-s", "sloppy", is_flag=True, help="Leave out options that nobody knows.")
@click.option("-f", "fake", is_flag=True, help="Do everything but mount.")
@click.option("-n", "no_mtab", is_flag=True, help="Nothing: there is no mtab.")
@click.option("-v", "verbose", is_flag=True, help="Say what was done.")
@click.option("-t", "kind", metavar="TYPE", default=VFS_TYPE, help=f"{VFS_TYPE}, or a subtype of it.")
def command(
    store: Path,
    mountpoint: Path,
    texts: tuple[str, ...],
    sloppy: bool,
    fake: bool,
    no_mtab: bool,
    verbose: bool,
    kind: str,
) -> None:
    """Mount STORE for mount(8), installed as /sbin/mount.fuse.vfs."""
    if kind not in (VFS_TYPE, "fuse", "vfs"):
        raise MountError(f"cannot mount the type {kind}; the type is {VFS_TYPE}")
    given = from_fstab(texts, sloppy=sloppy)
    for word in given.ignored:
        warn(f"unknown mount option {word!r} is left out")
    options = MountOptions.parse(given.options)
    if fake:
        prepare(store, mountpoint, options)
        return
    said = mount_in_background(
        store, mountpoint, options, tuple(given.options), read_only=False, supervise=given.supervise
    )
    if verbose:
        print_lines([said])
