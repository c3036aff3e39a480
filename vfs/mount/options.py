"""The mount options: what `-o` may say, and what it means.

Promises that an unknown option or a value out of its range is refused by name, with what would be right.
Never touches the system; what is allowed on this machine is checked elsewhere.
"""

import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import msgspec

from vfs.errors import OptionError
from vfs.limits import KIB, MIB

SUBTYPE = "vfs"
"""The kernel shows our mounts as of the type fuse.vfs."""

UNITS = {"": 1, "K": KIB, "M": MIB, "G": 1024 * MIB, "T": 1024 * 1024 * MIB}
LEAST_COMMIT_SECONDS, MOST_COMMIT_SECONDS = 0.1, 300.0
MOST_TIMEOUT_SECONDS = 365 * 86400.0
LEAST_CACHE_BYTES, MOST_CACHE_BYTES = MIB, UNITS["T"]
OPPOSITES = (("nodev", "dev"), ("nosuid", "suid"), ("noexec", "exec"))


class MountOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a store is to be mounted."""

    read_only: bool = False
    commit_seconds: float = 5.0
    allow_other: bool = False
    noxattr: bool = False
    attr_timeout_seconds: float = 86400.0
    cache_bytes: int = 64 * MIB
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
        if read_only:
            kept["read_only"] = True
        return cls(**kept, kernel_flags=flags)

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
            raise OptionError(f"mount option {name}={text}: give seconds from {least:g} to {most:g}")
        return seconds

    return parse


def _size(name: str, text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,18})([KMGT]?)(iB|B)?", text, re.IGNORECASE | re.ASCII)
    size = int(match[1]) * UNITS[match[2].upper()] if match else -1
    if not LEAST_CACHE_BYTES <= size <= MOST_CACHE_BYTES:
        raise OptionError(f"mount option {name}={text}: give a size from 1M to 1T, such as 256M")
    return size


KNOWN = {
    "ro": Option("read_only", constant=True),
    "rw": Option("read_only", constant=False),
    "commit": Option(
        "commit_seconds", parse=_seconds(LEAST_COMMIT_SECONDS, MOST_COMMIT_SECONDS), hint="SECONDS"
    ),
    "allow_other": Option("allow_other", constant=True),
    "noxattr": Option("noxattr", constant=True),
    "attr_timeout": Option("attr_timeout_seconds", parse=_seconds(0, MOST_TIMEOUT_SECONDS), hint="SECONDS"),
    "cache_size": Option("cache_bytes", parse=_size, hint="SIZE (such as 256M)"),
    "debug": Option("debug", constant=True),
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
