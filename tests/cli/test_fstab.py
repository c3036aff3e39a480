"""What mount(8) and systemd pass with `-o`, and what becomes of it."""

import pytest

from vfs.errors import OptionError
from vfs.mount.fstab import from_fstab
from vfs.mount.options import MountOptions


def test_what_concerns_others_is_dropped_and_ours_is_kept() -> None:
    given = from_fstab(
        (
            "rw,nodev,nosuid,noauto,_netdev,nofail,user=me,users,defaults,x-systemd.requires=/disk,comment=x",
            "commit=1,noatime,supervise,snapdir=visible,uhelper=fuse.vfs,X-mount.mkdir,relatime,noexec",
        )
    )
    assert given.options == [
        "rw",
        "nodev",
        "nosuid",
        "commit=1",
        "noatime",
        "snapdir=visible",
        "relatime",
        "noexec",
    ]
    assert given.supervise
    assert not given.ignored
    options = MountOptions.parse(given.options)
    assert options.kernel_flags == ("nodev", "noexec", "nosuid")
    assert not options.read_only
    assert not options.noatime  # the later one counts


def test_unknown_ones_are_refused_by_name_or_left_out_when_sloppy() -> None:
    with pytest.raises(OptionError, match="unknown mount option 'colour'; beside those of mount"):
        from_fstab(("ro,colour=red",))
    assert from_fstab(("ro,colour=red",), sloppy=True) == (["ro"], False, ["colour=red"])
    with pytest.raises(OptionError, match="cannot remount"):
        from_fstab(("remount,ro",), sloppy=True)
