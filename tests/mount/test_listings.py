"""Rows that wait for the kernel's next request: of a bounded number of directories, and never needed."""

from pathlib import Path

import vfs
from vfs.mount.listings import LISTINGS, Listings

FOLDERS = 3 * LISTINGS


def test_rows_of_many_open_directories_are_not_kept(tmp_path: Path) -> None:
    vfs.mkfs(tmp_path / "store")
    with vfs.open(tmp_path / "store") as fs:
        folders = [fs.make_directory(f"/{number}").ino for number in range(FOLDERS)]
        for folder in folders:
            for name in range(10):
                fs.mknod(folder, b"%d" % name, 0o644)
        listings = Listings(fs)
        for cookie in (0, 1, 2):
            for folder in folders:
                names = [row[0] for row in listings.rows(folder, cookie)]
                assert names == [b".", b"..", *(b"%d" % name for name in range(10))][cookie:]
                assert len(listings) <= LISTINGS
