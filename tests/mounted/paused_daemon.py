"""The vfs command, whose daemon stops before the moment of a rollback until a file says that it may go on,
and on demand answers no write of what must not be written any more. Its first argument is the folder
of these files."""

import sys
from pathlib import Path

import trio

from tests.mounted.rolling import GO, READY, STUCK, WAITING
from vfs.cli import main
from vfs.errors import Stale
from vfs.mount.adapter import Adapter
from vfs.mount.rollback_verbs import RollbackVerbs

FOLDER = Path(sys.argv.pop(1))

write, make_ready = Adapter.write, RollbackVerbs._make_ready


async def make_ready_and_wait(verbs: RollbackVerbs) -> None:
    await make_ready(verbs)
    (FOLDER / READY).touch()
    while not (FOLDER / GO).exists():  # noqa: ASYNC110 -- another process makes it
        await trio.sleep(0.005)


async def write_or_be_stuck(adapter: Adapter, fh: int, off: int, buf: bytes) -> int:
    try:
        adapter.nodes.written(fh)
    except Stale:
        if (FOLDER / STUCK).exists():
            (FOLDER / WAITING).touch()
            await trio.sleep_forever()
    return await write(adapter, fh, off, buf)


if __name__ == "__main__":
    Adapter.write = write_or_be_stuck  # type: ignore[method-assign]
    RollbackVerbs._make_ready = make_ready_and_wait  # type: ignore[assignment, method-assign]
    sys.exit(main())
