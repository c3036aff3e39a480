"""`vfs umount MOUNTPOINT`: unmounts, and returns when the store is closed."""

from pathlib import Path

import click

from vfs.cli.output import print_lines, progress_bar
from vfs.cli.verb import to_path, verb
from vfs.mount.unmount import unmount


@verb("umount", short="Unmount; also clear a mount whose daemon died.")
@click.argument("mountpoint", type=to_path)
@click.option("-l", "--lazy", is_flag=True, help="Take it off the tree although programs still use it.")
def command(mountpoint: Path, lazy: bool) -> None:
    """Unmount MOUNTPOINT, and return when its store is closed cleanly.

    This also clears a mount whose daemon died.
    """
    with progress_bar(f"unmounting {mountpoint}") as on_progress:
        outcome = unmount(mountpoint, lazy=lazy, on_progress=on_progress)
    print_lines([f"unmounted {mountpoint}: {outcome.value}"])
