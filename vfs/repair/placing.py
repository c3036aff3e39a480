"""A draft put in the place of a damaged store.

Promises that a stop at any moment leaves the damaged store, which can be repaired again, or one that says
what is left to do, which the next repair then ends; and that what is replaced is kept in `damaged/`.

Order of writes, and why:
1. The chunks that stay are synced: the new index names bytes of them that maybe nobody has synced yet.
   Everything new is written beside what it replaces, under names that nobody looks at, and synced, with the
   folders. A stop here leaves the damaged store, and waste that the next repair removes.
2. `repair.json` says what is to be done, synced under another name, then renamed to where an opening looks:
   from now on the store is not opened any more, and the next repair goes on from here. All that it names is
   durable before.
3. The old index goes out of its place first, then SQLite's own logs of it. Were a log still there when the
   new index comes, SQLite would put its pages over the new ones; were it gone before the old index, that
   would look whole and be older than it was.
4. Everything else goes and comes, each rename synced before the next. What comes is renamed within its
   folder, so it is never without a name.
5. The new index comes into its place: with it the store is whole.
6. `repair.json` goes to `damaged/N`, where it tells what was done. Were it gone before, a store might be
   opened that is half one and half the other.
Each step is skipped when it has been done, so it may be begun again at any time.
"""

import errno
import json
from contextlib import suppress
from typing import Any

import msgspec

from vfs.backing.chunks import LOG_FOLDER, chunk_name, chunk_numbers
from vfs.backing.draft import DraftStorage, copy_file, is_folder_in
from vfs.backing.file_names import INDEX_NAME
from vfs.backing.places import PACKS_FOLDER
from vfs.backing.storage import Storage
from vfs.backing.store import REPAIR_NAME
from vfs.errors import RepairFailed

DAMAGED_FOLDER = "damaged"
SHARED_MEMORY = f"{INDEX_NAME}-shm"
_NEW = "new-repair-"
_PENDING = f"{_NEW}{REPAIR_NAME}"
_MOST_BYTES = 64 * 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Step(msgspec.Struct, frozen=True):
    """Rename `old` to `new`; where `unless_gone` is named, only as long as that is still there."""

    old: str
    new: str
    unless_gone: str = ""


class Steps(msgspec.Struct):
    """What `repair.json` holds."""

    folder: str
    go: list[Step]
    come: list[Step]
    plan: dict[str, Any]


def next_folder(storage: Storage) -> str:
    """The folder that a repair of now keeps things in: the first that keeps nothing yet."""
    number = 1
    while is_folder_in(storage, f"{DAMAGED_FOLDER}/{number}") and storage.list(f"{DAMAGED_FOLDER}/{number}"):
        number += 1
    return f"{DAMAGED_FOLDER}/{number}"


def place(draft: DraftStorage, set_aside: set[str], plan: dict[str, Any]) -> str:
    """Make the store what the draft is; returns the folder that has what was replaced."""
    storage = draft.below
    written: list[str] = []
    try:
        for name in waste(storage):
            storage.unlink(name)
        folder = next_folder(storage)
        _make_folders(storage, folder, draft.folders())
        steps = _steps(draft, folder, set_aside, plan)
        _sync_chunks(storage, set_aside)
        for name in draft.written():
            written.append(_staged(name))
            copy_file(draft.above, name, storage, written[-1])
        written.append(_PENDING)
        file = storage.create(_PENDING)
        try:
            file.append((json.dumps(msgspec.to_builtins(steps), indent=1).encode(),))
        finally:
            file.close()
        for name in written:
            _sync(storage, name)
        for name in dict.fromkeys(name.rpartition("/")[0] for name in written):
            storage.sync_folder(name)
    except OSError as error:
        for name in written:
            with suppress(OSError):
                storage.unlink(name)
        reason = "its disk is full" if error.errno in _FULL else error.strerror or str(error)
        raise RepairFailed(storage.path, reason) from error
    _rename(storage, _PENDING, REPAIR_NAME)
    finish(storage)
    return folder


def waste(storage: Storage) -> list[str]:
    """What a repair has left that was cut short before it had said what it does."""
    found = []
    for folder in ("", LOG_FOLDER, PACKS_FOLDER):
        if is_folder_in(storage, folder):
            prefix = f"{folder}/" if folder else ""
            found += [prefix + name for name in storage.list(folder) if name.startswith(_NEW)]
    return found


def room_bytes(draft: DraftStorage) -> int:
    """What `place` writes."""
    return sum(draft.above.size(name) for name in draft.written())


def is_pending(storage: Storage) -> bool:
    """Whether a repair was cut short after it had said what it does."""
    return storage.exists(REPAIR_NAME)


def finish(storage: Storage) -> None:
    """Do what `repair.json` says, as far as it has not been done."""
    steps = read_steps(storage)
    if steps is None:
        raise RepairFailed(storage.path, f"{REPAIR_NAME} cannot be read; remove it by hand")
    for step in steps.go:
        waiting = not step.unless_gone or storage.exists(step.unless_gone)
        if waiting and storage.exists(step.old):
            _rename(storage, step.old, step.new)
    for step in steps.come:
        if storage.exists(step.old):
            _rename(storage, step.old, step.new)
    with suppress(FileNotFoundError):
        storage.unlink(SHARED_MEMORY)  # nothing but what SQLite makes anew
    _rename(storage, REPAIR_NAME, f"{steps.folder}/{REPAIR_NAME}")


def read_steps(storage: Storage) -> Steps | None:
    """What a repair that was cut short has to do, None when its file is damaged."""
    try:
        file = storage.open(REPAIR_NAME)
        try:
            return msgspec.json.decode(file.pread(_MOST_BYTES, 0), type=Steps)
        finally:
            file.close()
    except (OSError, msgspec.MsgspecError):
        return None


def _make_folders(storage: Storage, kept: str, needed: list[str]) -> None:
    """Make the folder for what is replaced, and those of the store that are missing or something else."""
    for name in (DAMAGED_FOLDER, kept):
        if not storage.exists(name):
            storage.make_folder(name)
            storage.sync_folder(name.rpartition("/")[0])
    for name in needed:
        if not is_folder_in(storage, name):
            if storage.exists(name):
                _rename(storage, name, _kept(kept, name))
            storage.make_folder(name)
            storage.sync_folder("")


def _steps(draft: DraftStorage, folder: str, set_aside: set[str], plan: dict[str, Any]) -> Steps:
    new = draft.written()
    index_files = [name for name in sorted(set_aside) if name.startswith(INDEX_NAME)]
    index_files.sort(key=lambda name: name != INDEX_NAME)
    go = [Step(name, _kept(folder, name), _staged(INDEX_NAME)) for name in index_files]
    for name in sorted(set_aside - set(index_files) - set(draft.folders())):
        go.append(Step(name, _kept(folder, name), _staged(name) if name in new else ""))
    come = [Step(_staged(name), name) for name in sorted(new, key=lambda name: name == INDEX_NAME)]
    return Steps(folder, go, come, plan)


def _staged(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{_NEW}{last}"


def _kept(folder: str, name: str) -> str:
    return f"{folder}/{name.replace('/', '-')}"


def _sync_chunks(storage: Storage, set_aside: set[str]) -> None:
    if not is_folder_in(storage, LOG_FOLDER):
        return
    for name in map(chunk_name, chunk_numbers(storage)):
        if name not in set_aside:
            _sync(storage, name)
    storage.sync_folder(LOG_FOLDER)


def _sync(storage: Storage, name: str) -> None:
    file = storage.open(name, writable=True)
    try:
        file.sync()
    finally:
        file.close()


def _rename(storage: Storage, old: str, new: str) -> None:
    """Rename, durable when this returns: the new name first, so that one of them is always there."""
    storage.rename(old, new)
    if storage.exists(old):  # both were names of one file, as a power cut can leave them
        storage.unlink(old)
    folders = [new.rpartition("/")[0], old.rpartition("/")[0]]
    for folder in dict.fromkeys(folders):
        storage.sync_folder(folder)
