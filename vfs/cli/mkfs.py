"""`vfs mkfs STORE`: makes a new store. Never touches a folder that has anything in it."""

from pathlib import Path

import click

import vfs
from vfs.cli.output import print_lines
from vfs.cli.verb import to_path, verb
from vfs.errors import MountError, StoreError
from vfs.mount.mountinfo import read_mounts, resolve, vfs_at


@verb("mkfs")
@click.argument("store", type=to_path)
def command(store: Path) -> None:
    """Make a new store in the folder STORE, which must be new or empty."""
    mounts = read_mounts()
    mount = vfs_at(resolve(store, mounts), mounts)
    if mount is not None:
        raise MountError(f"{store} is the mount point of {mount.store}; give a new or an empty directory")
    parent = store.absolute().parent
    if not parent.is_dir():
        raise StoreError(
            f"there is no folder {parent} to make the store in; create it, or name another STORE"
        )
    vfs.mkfs(store)
    print_lines([f"made the store {store}"])
