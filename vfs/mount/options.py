"""The mount options: what `-o` may say, and what it means.

Promises that an unknown option or a value out of its range is refused by name, with what would be right.
Never touches the system; what is allowed on this machine is checked elsewhere.
"""

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote, unquote

import msgspec

from vfs.backing.codecs import Compression
from vfs.backing.snapshot_names import check_name
from vfs.errors import OptionError, SnapshotError
from vfs.limits import MIB
from vfs.mount.mountinfo import SUBTYPE
from vfs.sizes import parse_size

LEAST_COMMIT_SECONDS, MOST_COMMIT_SECONDS = 0.1, 300.0
MOST_TIMEOUT_SECONDS = 365 * 86400.0
LEAST_CACHE_BYTES, MOST_CACHE_BYTES = MIB, 1 << 40
LEAST_BACKLOG_BYTES, MOST_BACKLOG_BYTES = 64 * MIB, 1 << 50
OPPOSITES = (("nodev", "dev"), ("nosuid", "suid"), ("noexec", "exec"), ("sync", "async"))


class MountOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a store is to be mounted."""

    read_only: bool = False
    commit_seconds: float = 5.0
    allow_other: bool = False
    noxattr: bool = False
    attr_timeout_seconds: float = 86400.0
    cache_bytes: int = 64 * MIB
    compression: str | None = None
    """For new data; None: as the store was made."""
    backlog_bytes: int | None = None
    """Raw data that may wait to be packed before writers are slowed; None: the default."""
    pack: bool = True
    """False: only `vfs flush` packs."""
    noatime: bool = False
    snapshot: str | None = None
    """The one to mount in the place of what is there now; then `read_only` is set."""
    snapdir_visible: bool = False
    """Whether `.snapshots` is listed in the root."""
    debug: bool = False
    kernel_flags: tuple[str, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str], *, read_only: bool = False) -> Self:
        """Options as they were given with `-o`, each a list with commas; the later one counts.

        `read_only` (the --read-only flag) outweighs them. OptionError names what is wrong.
        """
        fields: dict[str, Any] = {}
        for piece in (piece for text in texts for piece in text.split(",") if piece):
            name, equals, value = piece.partition("=")
            option = KNOWN.get(name)
            if option is None:
                raise OptionError(f"unknown mount option {name!r}; the known ones are {known_options()}")
            if option.parse is None:
                if equals:
                    raise OptionError(f"mount option {name!r} takes no value; write just {name}")
                fields[option.field] = option.constant
            elif not value:
                raise OptionError(f"mount option {name!r} needs a value: {name}={option.hint}")
            else:
                fields[option.field] = option.parse(name, value)
        flags = _kernel_flags(field for field in fields if field.startswith(KERNEL))
        kept = {field: value for field, value in fields.items() if not field.startswith(KERNEL)}
        if read_only or "snapshot" in kept:
            kept["read_only"] = True
        return cls(**kept, kernel_flags=flags)

    def for_filesystem(self) -> dict[str, Any]:
        """What the store is to be opened with."""
        given: dict[str, Any] = {
            "read_only": self.read_only,
            "commit_seconds": self.commit_seconds,
            "cache_bytes": self.cache_bytes,
        }
        if self.noatime:
            given["noatime"] = True
        if self.compression is not None:
            given["compression"] = self.compression
        if self.backlog_bytes is not None:
            given["backlog_limit_bytes"] = self.backlog_bytes
        if self.snapshot is not None:
            given["snapshot"] = self.snapshot
        if self.snapdir_visible:
            given["snapdir_visible"] = True
        return given

    def for_kernel(self, store: Path) -> set[str]:
        """What pyfuse3 is to be given. It takes ASCII, and libfuse splits at commas: hence the quoting."""
        names = {
            "default_permissions",
            f"fsname={quote_store(store)}",
            f"subtype={SUBTYPE}",
            *self.kernel_flags,
        }
        if self.read_only:
            names.add("ro")
        if self.noatime:
            names.add("noatime")  # so that it shows among the options of the mount
        if self.allow_other:
            names.add("allow_other")
        return names


class Option(NamedTuple):
    """One word of `-o`: the field that it sets, to a constant or to what `parse` makes of its value."""

    field: str
    constant: Any = None
    parse: Callable[[str, str], Any] | None = None
    hint: str = ""


KERNEL = "kernel:"


def _seconds(least: float, most: float) -> Callable[[str, str], float]:
    def parse(name: str, text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not least <= seconds <= most:
            raise OptionError(f"mount option {name}={text}: give seconds from {least:g} to {most:.0f}")
        return seconds

    return parse


def _size(least: int, most: int, hint: str) -> Callable[[str, str], int]:
    def parse(name: str, text: str) -> int:
        size = parse_size(text)
        if size is None or not least <= size <= most:
            raise OptionError(f"mount option {name}={text}: give a size {hint}")
        return size

    return parse


def _compression(name: str, text: str) -> str:
    try:
        return str(Compression.parse(text))
    except OptionError as error:
        raise OptionError(f"mount option {name}={text}: {error}") from None


def _snapshot(name: str, text: str) -> str:
    try:
        snapshot = unquote(text, errors="strict")
        check_name(snapshot)
    except (UnicodeDecodeError, SnapshotError) as error:
        raise OptionError(f"mount option {name}={text}: {error}") from None
    return snapshot


def snapshot_option(snapshot: str) -> str:
    """The mount option for a snapshot, whatever its name is: commas and % are written as in a URL."""
    return f"{SNAPSHOT}={quote(snapshot)}"


def _visible(name: str, text: str) -> bool:
    if text not in ("visible", "hidden"):
        raise OptionError(f"mount option {name}={text}: give {name}=visible or {name}=hidden")
    return text == "visible"


SNAPSHOT = "snapshot"

KNOWN = {
    "ro": Option("read_only", constant=True),
    "rw": Option("read_only", constant=False),
    "commit": Option(
        "commit_seconds", parse=_seconds(LEAST_COMMIT_SECONDS, MOST_COMMIT_SECONDS), hint="SECONDS"
    ),
    "allow_other": Option("allow_other", constant=True),
    "noxattr": Option("noxattr", constant=True),
    "attr_timeout": Option("attr_timeout_seconds", parse=_seconds(0, MOST_TIMEOUT_SECONDS), hint="SECONDS"),
    "cache_size": Option(
        "cache_bytes",
        parse=_size(LEAST_CACHE_BYTES, MOST_CACHE_BYTES, "from 1M to 1T, such as 256M"),
        hint="SIZE (such as 256M)",
    ),
    "compression": Option("compression", parse=_compression, hint="none|zstd|zstd:LEVEL"),
    "backlog": Option(
        "backlog_bytes",
        parse=_size(LEAST_BACKLOG_BYTES, MOST_BACKLOG_BYTES, "from 64M to 1024T, such as 4G"),
        hint="SIZE (such as 4G)",
    ),
    "nopack": Option("pack", constant=False),
    "noatime": Option("noatime", constant=True),
    "relatime": Option("noatime", constant=False),
    SNAPSHOT: Option("snapshot", parse=_snapshot, hint="NAME"),
    "snapdir": Option("snapdir_visible", parse=_visible, hint="visible|hidden"),
    "debug": Option("debug", constant=True),
    "dirsync": Option(KERNEL + "dirsync", constant=True),
    **{flag: Option(KERNEL + flag, constant=True) for pair in OPPOSITES for flag in pair},
}


def known_options() -> str:
    """Every option in one line, for a message or a help text."""
    return ", ".join(f"{name}=…" if option.parse else name for name, option in KNOWN.items())


def _kernel_flags(fields: Iterable[str]) -> tuple[str, ...]:
    flags = {field.removeprefix(KERNEL) for field in fields}
    for pair in OPPOSITES:
        if flags.issuperset(pair):
            raise OptionError(f"mount options {' and '.join(pair)} contradict each other; give one")
    return tuple(sorted(flags))


def quote_store(store: Path) -> str:
    """A store's path as the kernel shall show it: printable ASCII without a comma or backslash."""
    return quote(os.fsencode(store), safe="/")
