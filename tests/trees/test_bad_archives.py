"""Archives that are damaged, cut short or made to do harm: one clear line, and nothing outside of DEST."""

import gzip
import io
import os
import subprocess
import tarfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

import vfs
from vfs.errors import StoreError
from vfs.trees.tar_stream import BadArchive


def archive(*members: tuple[tarfile.TarInfo, bytes], end: bool = True) -> bytes:
    """A PAX archive of those members."""
    out = b"".join(info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512) for info, data in members)
    return out + bytes(10_240 if end else 0)


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def bring(fs: vfs.FileSystem, data: bytes, dest: str = "/in") -> list[str]:
    return vfs.import_tree(fs, io.BytesIO(data), dest).problems


def test_names_stay_inside(fs: vfs.FileSystem) -> None:
    fs.write_bytes("/outside", b"as it was")
    problems = bring(
        fs,
        archive(
            member("/absolute/name", b"1"),
            member("../outside", b"2"),
            member("a/../../outside", b"3"),
            member("./././fine", b"4"),
            member("//double//slash", b"5"),
            member("..", type=tarfile.DIRTYPE),
            member("", b"6"),
        ),
    )
    assert fs.read_bytes("/outside") == b"as it was"
    assert sorted(fs.listdir("/in")) == [b"absolute", b"double", b"fine"]
    assert fs.read_bytes("/in/absolute/name") == b"1"
    assert fs.listdir("/") == [b"outside", b"in"]
    assert len(problems) == 4
    assert problems[0].startswith("../outside: its name leads out of the tree")


def test_links_are_not_followed(fs: vfs.FileSystem) -> None:
    fs.make_directory("/target")
    fs.write_bytes("/file", b"as it was")
    problems = bring(
        fs,
        archive(
            member("to folder", type=tarfile.SYMTYPE, linkname="/target"),
            member("to folder/escaped", b"1"),
            member("to file", type=tarfile.SYMTYPE, linkname="../file"),
            member("to file", b"2"),
            member("hard", type=tarfile.LNKTYPE, linkname="../file"),
            member("hard to nothing", type=tarfile.LNKTYPE, linkname="nothing"),
            member("hard through link", type=tarfile.LNKTYPE, linkname="to folder/x"),
        ),
    )
    assert fs.listdir("/target") == []
    assert fs.read_bytes("/file") == b"as it was"
    assert fs.resolve("/in/to folder", follow=False).target == b"/target"
    assert fs.read_bytes("/in/to file") == b"2", "a file replaces a link, and does not go through it"
    assert [problem.split(":")[0] for problem in problems] == [
        "hard",  # told by the reader, which is ahead
        "to folder/escaped",
        "hard to nothing",
        "hard through link",
    ]


def test_a_member_cut_short(fs: vfs.FileSystem) -> None:
    whole = archive(member("first", b"whole"), member("second", b"x" * 5000))
    with pytest.raises(BadArchive, match="cut short inside 'second'"):
        bring(fs, whole[:3000])
    assert not fs.exists("/in/second"), "whole files or none"


@pytest.mark.parametrize("length", [0, 1, 511, 513, 700, 1024])
def test_an_archive_cut_short(fs: vfs.FileSystem, length: int) -> None:
    with pytest.raises(BadArchive):
        bring(fs, archive(member("first", b"whole"))[:length])


def test_an_archive_without_an_end(fs: vfs.FileSystem) -> None:
    with pytest.raises(BadArchive, match="without its end mark"):
        bring(fs, archive(member("first", b"whole"), end=False))
    assert fs.read_bytes("/in/first") == b"whole"


@pytest.mark.parametrize("keep", [20, 200, -8, -1])
def test_a_compressed_archive_cut_short(fs: vfs.FileSystem, keep: int) -> None:
    packed = gzip.compress(archive(member("first", os.urandom(5000))))
    with pytest.raises(BadArchive, match="cut short"):
        bring(fs, packed[:keep])


def test_a_damaged_header(fs: vfs.FileSystem) -> None:
    whole = bytearray(archive(member("first", b"1"), member("second", b"2")))
    whole[1024 + 5] ^= 1
    with pytest.raises(BadArchive, match=r"byte 1,024|from here on"):
        bring(fs, bytes(whole))


@pytest.mark.parametrize("junk", [b"x", b"no archive" * 1000, bytes(100), b"\x1f\x8b\x08 and nothing"])
def test_no_archive(fs: vfs.FileSystem, junk: bytes) -> None:
    with pytest.raises(BadArchive):
        bring(fs, junk)


def test_an_absurd_size(fs: vfs.FileSystem) -> None:
    info = tarfile.TarInfo("huge")
    info.size = 1 << 62
    with pytest.raises(BadArchive, match="cut short"):
        bring(fs, info.tobuf(tarfile.GNU_FORMAT) + bytes(100_000))


def test_a_header_that_would_fill_memory(fs: vfs.FileSystem) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    bomb = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(40 << 20))
    before = time.process_time()
    with pytest.raises(BadArchive, match="absurdly long"):
        bring(fs, bomb)
    assert time.process_time() - before < 20


def test_an_absurd_sparse_file(fs: vfs.FileSystem) -> None:
    headers = {"GNU.sparse.map": "0,5,3,5", "GNU.sparse.size": "100", "GNU.sparse.name": "overlap"}
    with pytest.raises(BadArchive, match="makes no sense"):
        bring(fs, archive(member("x", b"0123456789", pax_headers=headers)))
    headers = {"GNU.sparse.map": "0,5", "GNU.sparse.size": str(1 << 70), "GNU.sparse.name": "large"}
    problems = bring(fs, archive(member("x", b"01234", pax_headers=headers), member("after", b"fine")))
    assert len(problems) == 1
    assert "out of bounds" in problems[0]
    assert fs.read_bytes("/in/after") == b"fine"
    headers["GNU.sparse.size"] = str((1 << 63) - 1)
    assert bring(fs, archive(member("x", b"01234", pax_headers=headers))) == []
    assert fs.resolve("/in/large").size == (1 << 63) - 1


def test_absurd_times_and_owners(fs: vfs.FileSystem) -> None:
    headers = {"mtime": "1" + "0" * 25, "atime": "1e999999999", "uid": "-5"}
    assert bring(fs, archive(member("x", b"1", pax_headers=headers))) == []
    assert fs.resolve("/in/x").mtime_ns == (1 << 63) - 1
    assert fs.resolve("/in/x").uid == 65534


def test_names_that_are_too_long_or_too_deep(fs: vfs.FileSystem) -> None:
    problems = bring(
        fs, archive(member("n" * 300, b"1"), member("d/" * 3000 + "x", b"2"), member("ok", b"3"))
    )
    assert len(problems) == 2
    assert fs.listdir("/in") == [b"ok"]


def test_deep_folders_come_in(fs: vfs.FileSystem) -> None:
    name = "d/" * 1500 + "x"
    assert bring(fs, archive(member(name, b"deep"))) == []
    assert fs.read_bytes("/in/" + name) == b"deep"


def test_extended_attributes_that_cannot_be(fs: vfs.FileSystem) -> None:
    headers = {"SCHILY.xattr.system.posix_acl_access": "x", "SCHILY.xattr.user.ok": "fine"}
    report = vfs.import_tree(fs, io.BytesIO(archive(member("x", b"1", pax_headers=headers))))
    assert report.skipped == {"extended attributes": 1}
    assert fs.list_xattrs(fs.resolve("/x").ino) == [b"user.ok"]


def test_a_source_that_is_neither(fs: vfs.FileSystem, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(StoreError, match="neither a folder nor a tar archive"):
        vfs.import_tree(fs, tmp_path / "text")
    with pytest.raises(StoreError, match=r"cannot read .*missing: No such file"):
        vfs.import_tree(fs, tmp_path / "missing")
    with pytest.raises(StoreError, match=r"lies in .*store"):
        vfs.import_tree(fs, tmp_path / "store" / "log")


def test_the_store_itself_is_left_out(fs: vfs.FileSystem, tmp_path: Path) -> None:
    (tmp_path / "beside").write_text("x")
    report = vfs.import_tree(fs, tmp_path)
    assert report.skipped == {"folders of the store itself": 1}
    assert fs.listdir("/") == [b"beside"]


def test_flipped_bytes_never_do_worse_than_an_error(
    fs: vfs.FileSystem, everything: Path, tmp_path: Path
) -> None:
    # The same bytes each time, but for tar's own number in one name.
    options = ["--format=posix", "-S", "--sort=name", "--numeric-owner"]
    options.append("--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=ctime,delete=atime")
    subprocess.run(["tar", *options, "-cf", tmp_path / "a", "-C", everything, "."], check=True)
    data = (tmp_path / "a").read_bytes()[:60_000]
    for at in range(0, len(data), 97):
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        with suppress(BadArchive):
            vfs.import_tree(fs, io.BytesIO(bytes(bad)), "/in")
