"""What mount(8) and /etc/fstab say with `-o`, as options of ours.

Promises that a word which concerns mount(8), systemd or the kernel alone is dropped or passed on as mount(8)
says, and that any other word that vfs does not know is refused by name, unless a sloppy mount was asked for.
"""

from typing import NamedTuple

from vfs.errors import OptionError
from vfs.mount.options import KNOWN, known_options

OTHERS = {
    *("defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "nousers", "owner"),
    *("noowner", "group", "nogroup", "silent", "loud", "atime", "diratime", "nodiratime", "norelatime"),
    *("strictatime", "nostrictatime", "lazytime", "nolazytime", "iversion", "noiversion", "mand", "nomand"),
}
"""Options of mount(8) that say who mounts and when, or that mean nothing here: access times are kept as with
relatime, by the daemon."""

OTHERS_WITH_VALUE = ("user=", "comment=", "uhelper=", "helper=", "x-", "X-")
SUPERVISE = "supervise"


class FstabOptions(NamedTuple):
    """The options for the daemon, whether it is supervised, and what a sloppy mount has left out."""

    options: list[str]
    supervise: bool
    ignored: list[str]


def from_fstab(texts: tuple[str, ...], *, sloppy: bool = False) -> FstabOptions:
    """Sort words with commas between. OptionError for those that nobody knows; values are checked later."""
    options: list[str] = []
    ignored: list[str] = []
    supervise = False
    for word in (word for text in texts for word in text.split(",") if word):
        name = word.partition("=")[0]
        if word == SUPERVISE:
            supervise = True
        elif name in KNOWN:
            options.append(word)
        elif word == "remount":
            raise OptionError("vfs cannot remount with other options; unmount it, and mount it with these")
        elif word in OTHERS or word.startswith(OTHERS_WITH_VALUE):
            continue
        elif sloppy:
            ignored.append(word)
        else:
            known = f"{known_options()}, {SUPERVISE}"
            raise OptionError(f"unknown mount option {name!r}; beside those of mount(8) there are {known}")
    return FstabOptions(options, supervise, ignored)
