"""`vfs mkfs STORE`: makes a new store. Never touches a folder that has anything in it."""

from pathlib import Path
from typing import Any

import click

import vfs
from vfs.backing.file_names import SUPERBLOCK_NAME
from vfs.cli import late
from vfs.cli.output import print_lines
from vfs.cli.verb import to_path, to_size, verb
from vfs.errors import MountError, StoreError
from vfs.mount.mountinfo import read_mounts, resolve, vfs_at


def to_blob_sizes(text: str) -> dict[str, int]:
    """The type of --blob-size: an average, or the least, the average and the largest size."""
    sizes = [to_size(part) for part in text.split(":")]
    if len(sizes) == 1:
        return {"blob_bytes": sizes[0]}
    if len(sizes) != 3 or 0 in sizes:
        raise click.BadParameter(f"{text!r}: give an average such as 64K, or LEAST:AVERAGE:MOST.")
    return {"least_blob_bytes": sizes[0], "blob_bytes": sizes[1], "most_blob_bytes": sizes[2]}


@verb("mkfs", short="Make a new store in an empty folder.")
@click.argument("store", type=to_path)
@click.option("--compression", metavar="none|zstd[:LEVEL]", help="How packed data is compressed (zstd:3).")
@click.option(
    "--block-size",
    "block_bytes",
    type=to_size,
    metavar="SIZE",
    help="Data that is compressed together (128K).",
)
@click.option(
    "--blob-size",
    "blob_sizes",
    type=to_blob_sizes,
    metavar="AVERAGE|LEAST:AVERAGE:MOST",
    help="Size of the pieces of which equal ones are stored once (64K).",
)
def command(store: Path, blob_sizes: dict[str, int] | None, **choices: Any) -> None:
    """Make a new store in the folder STORE, which must be new or empty."""
    choices |= blob_sizes or {}
    options = late.CreationOptions(**{name: value for name, value in choices.items() if value is not None})
    options.check()
    mounts = read_mounts()
    mount = vfs_at(resolve(store, mounts), mounts)
    if mount is not None:
        raise MountError(f"{store} is the mount point of {mount.store}; give a new or an empty directory")
    parent = store.absolute().parent
    if not parent.is_dir():
        raise StoreError(
            f"there is no folder {parent} to make the store in; create it, or name another STORE"
        )
    for above in store.resolve().parents:
        if (above / SUPERBLOCK_NAME).exists():
            raise StoreError(f"{store} lies inside the store {above}; give a directory outside of it")
    vfs.mkfs(store, options)
    print_lines([f"made the store {store}"])
