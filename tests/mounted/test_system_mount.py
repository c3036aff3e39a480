"""mount(8), umount(8) and fstab lines with the helpers in /sbin; and mounting as an ordinary user."""

from pathlib import Path

import pytest

from tests.mounted.mounting import copy_of_an_empty_store
from tests.mounted.namespace import in_namespace
from tests.mounted.programs import needs_root

pytestmark = [pytest.mark.mounted, needs_root]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    copy_of_an_empty_store(tmp_path / "my store")
    (tmp_path / "mnt").mkdir()
    return tmp_path


def test_mount_and_umount_with_the_helpers_in_sbin(work: Path) -> None:
    said = in_namespace(
        work,
        """
        store="$work/my store" mnt=$work/mnt
        mount -t fuse.vfs "$store" "$mnt" -o commit=1,noatime,nodev,noexec,nofail,_netdev,x-systemd.automount
        grep -F " $mnt " /proc/self/mountinfo
        echo data >"$mnt/file"
        before=$(stat -c %X "$mnt/file")
        vfs info --json "$mnt"
        umount "$mnt"
        [[ $(vfs info --json "$store") == *'"pid": null'* ]]  # closed when umount returned
        code=0
        mount -t fuse.vfs "$store" "$mnt" -o colour=red || code=$?
        echo "exit code $code"
        mount -s -t fuse.vfs "$store" "$mnt" -o colour=red,ro
        cat "$mnt/file"
        umount -i "$mnt"  # without the helper
        flock "$store/lock" true  # waits for the daemon
        grep -c 'INFO closed' "$store/vfs.log"
        mount -f -t fuse.vfs "$store" "$mnt"
        is_no_mount "$mnt"
        vfs fsck "$store"
        """,
    )
    line = next(line for line in said.splitlines() if "fuse.vfs" in line)
    assert {"noatime", "nodev", "noexec"} <= set(line.split()[5].split(","))
    assert '"commit_seconds": 1' in said
    assert "unknown mount option 'colour'" in said
    assert "exit code 32" in said
    assert "unknown mount option 'colour=red' is left out" in said
    assert said.splitlines()[-3:-1] == ["data", "2"]


def test_a_line_of_fstab(work: Path) -> None:
    said = in_namespace(
        work,
        r"""
        store="$work/my store" mnt=$work/mnt
        options=noauto,nofail,supervise,commit=1,defaults
        printf '%s %s fuse.vfs %s 0 0\n' "${store// /\\040}" "$mnt" $options >"$work/fstab"
        mount -T "$work/fstab" "$mnt"
        echo data >"$mnt/file"
        kill -9 "$(cat "$store/lock")"
        until grep -q 'mounted again' "$store/vfs.log"; do sleep 0.05; done
        cat "$mnt/file"
        umount -T "$work/fstab" "$mnt" 2>/dev/null || umount "$mnt"
        is_no_mount "$mnt"
        vfs info "$store" | grep ^pid
        """,
    )
    assert said.splitlines()[-2:] == ["data", "pid: -"]


def test_an_ordinary_user_mounts_again_where_a_daemon_died(work: Path) -> None:
    said = in_namespace(
        work,
        """
        chown 65534:65534 "$work" "$work/mnt"
        mount --rbind "$work" /mnt  # the folders around it are closed to others
        store=/mnt/store mnt=/mnt/mnt
        nobodys() { "${as_nobody[@]}" "$bin/python" -m vfs "$@"; }
        nobodys mkfs "$store"
        nobodys mount "$store" "$mnt"
        "${as_nobody[@]}" touch "$mnt/kept"
        "${as_nobody[@]}" bash -c 'exec sleep 100 <"$0"' "$mnt/kept" &
        sleeper=$!
        until [[ $(readlink /proc/$sleeper/fd/0) == */kept ]]; do sleep 0.05; done
        kill -9 "$(cat "$store/lock")"
        nobodys mount "$store" "$mnt"
        "${as_nobody[@]}" ls "$mnt"
        grep -F "$mnt" /proc/self/mountinfo
        kill $sleeper
        nobodys umount "$mnt"
        is_no_mount "$mnt"
        """,
    )
    assert said.count("clearing ") == 1
    assert "user_id=65534" in said
    assert "\nkept\n" in said
    assert "the store is closed cleanly" in said
