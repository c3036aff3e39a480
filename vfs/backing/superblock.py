"""The superblock: the one small file that makes a directory a store, and says which one and of what format.

Written by mkfs, and once more when a later version upgrades the store; durable with its name then. Never
trusts what it reads: anything that is not exactly a superblock is `NotAStore`, a later format is
`NewerFormat`, whatever else the file may hold.

    STORE/superblock.json = one JSON object
        magic     "vfs store"
        format    4
        uuid      32 hexadecimal digits
        created   nanoseconds since 1970
        options   object, the choices made at creation
        checksum  16 hexadecimal digits: xxh3_64 of the rest, as JSON in ASCII with sorted keys and no blanks
"""

import json
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from xxhash import xxh3_64_hexdigest

from vfs.backing.file_names import INDEX_NAME, SUPERBLOCK_NAME
from vfs.backing.storage import Storage
from vfs.errors import NewerFormat, NotAStore, StoreUnreadable, SuperblockDamaged

NAME = SUPERBLOCK_NAME
NEW_NAME = "superblock.json.new"
MAGIC = "vfs store"
FORMAT = 4
"""1: no packs. 2: no lost ranges. 3: no snapshots. They are upgraded when they are opened to be written."""

LONGEST_BYTES = 64 * 1024
"""A larger file is no superblock, and is not read to find out."""


@dataclass(frozen=True)
class Superblock:
    """What a store says about itself."""

    uuid: bytes
    created_ns: int
    options: dict[str, Any]
    format: int = FORMAT

    @classmethod
    def create(
        cls,
        storage: Storage,
        options: dict[str, Any] | None = None,
        *,
        store_uuid: bytes | None = None,
        created_ns: int | None = None,
    ) -> "Superblock":
        """Write the superblock of a new store. Whatever else a store needs must be durable before."""
        block = cls(
            uuid=store_uuid if store_uuid is not None else uuid4().bytes,
            created_ns=created_ns if created_ns is not None else time.time_ns(),
            options=dict(options or {}),
        )
        block._write(storage)
        return block

    def upgraded(self, storage: Storage) -> "Superblock":
        """Make an older store one of this format: from now on only who knows it opens the store."""
        block = replace(self, format=FORMAT)
        block._write(storage)
        return block

    def _write(self, storage: Storage) -> None:
        """Put the file in its place.

        Order of writes: a file of another name, its sync, the rename, the folder's sync. A crash before the
        last leaves what there was, or the new one whole.
        """
        with suppress(FileNotFoundError):
            storage.unlink(NEW_NAME)  # what was left when this was cut short
        file = storage.create(NEW_NAME)
        try:
            file.append((self.encode(),))
            file.sync()
        finally:
            file.close()
        storage.rename(NEW_NAME, NAME)
        storage.sync_folder("")

    @classmethod
    def read(cls, storage: Storage) -> "Superblock":
        """Read and check the superblock; NotAStore, SuperblockDamaged, NewerFormat or StoreUnreadable."""
        try:
            return cls._read(storage)
        except NotAStore as error:
            if storage.exists(INDEX_NAME):
                raise SuperblockDamaged(storage.path, error.reason) from error
            raise

    @classmethod
    def _read(cls, storage: Storage) -> "Superblock":
        try:
            file = storage.open(NAME)
        except FileNotFoundError:
            raise NotAStore(storage.path, f"it has no {NAME}") from None
        except OSError as error:
            raise StoreUnreadable(storage.path, f"{NAME}: {error.strerror or error}") from error
        try:
            size = file.size()
            if size > LONGEST_BYTES:
                raise NotAStore(storage.path, f"{NAME} has {size} bytes, which is too long for one")
            data = file.pread(LONGEST_BYTES, 0)
        except OSError as error:
            raise StoreUnreadable(storage.path, f"{NAME}: {error.strerror or error}") from error
        finally:
            file.close()
        return cls.decode(data, storage.path)

    def encode(self) -> bytes:
        """Return the content of the file."""
        fields = {
            "magic": MAGIC,
            "format": self.format,
            "uuid": self.uuid.hex(),
            "created": self.created_ns,
            "options": self.options,
        }
        return json.dumps({**fields, "checksum": _checksum(fields)}, indent=2).encode("ascii") + b"\n"

    @classmethod
    def decode(cls, data: bytes, path: Path) -> "Superblock":
        """Check the content of the file. `path` of the store is for the error only."""
        fields = _object(data, path)
        if fields.get("magic") != MAGIC:
            raise NotAStore(path, f"{NAME} belongs to something else")
        found = fields.get("format")
        if type(found) is not int or found < 1:
            raise NotAStore(path, f"{NAME} names no format")
        if found > FORMAT:  # before the checksum, whose rule a later format may change
            raise NewerFormat(path, found, FORMAT)
        if not _is_sealed(fields):
            raise NotAStore(path, f"{NAME} is damaged: its checksum is wrong")
        text, created_ns, options = fields.get("uuid"), fields.get("created"), fields.get("options")
        if type(text) is not str or type(created_ns) is not int or type(options) is not dict:
            raise NotAStore(path, f"{NAME} lacks a field")
        try:
            store_uuid = bytes.fromhex(text)
        except ValueError:
            store_uuid = b""
        if len(store_uuid) != 16:
            raise NotAStore(path, f"{NAME} has a bad uuid")
        return cls(store_uuid, created_ns, options, found)


def _object(data: bytes, path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):  # ValueError: not UTF-8, not JSON, a number of thousands of digits
        raise NotAStore(path, f"{NAME} is not JSON") from None
    if not isinstance(fields, dict):
        raise NotAStore(path, f"{NAME} is not a JSON object")
    return fields


def _is_sealed(fields: dict[str, Any]) -> bool:
    """Take the checksum out of the fields; whether it is right."""
    given = fields.pop("checksum", None)
    try:
        return bool(given == _checksum(fields))
    except (ValueError, RecursionError):  # lists in lists, or a number of thousands of digits
        return False


def _checksum(fields: dict[str, Any]) -> str:
    return xxh3_64_hexdigest(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii"))
