"""The vfs command, whose daemon takes half a second for each write that the kernel hands over."""

import sys

import trio

from vfs.cli import main
from vfs.mount.adapter import Adapter

write = Adapter.write


async def write_late(adapter: Adapter, fh: int, off: int, buf: bytes) -> int:
    await trio.sleep(0.5)
    return await write(adapter, fh, off, buf)


if __name__ == "__main__":
    Adapter.write = write_late  # type: ignore[method-assign]
    sys.exit(main())
