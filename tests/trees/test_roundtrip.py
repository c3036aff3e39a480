"""What goes in comes out: folders and archives, with all that is known of an entry, also against GNU tar."""

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import vfs
from tests.trees.material import IS_ROOT, describe
from vfs.errors import StoreError

TAR = ("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner")


def test_a_folder_comes_out_as_it_went_in(fs: vfs.FileSystem, everything: Path, tmp_path: Path) -> None:
    before = describe(everything)
    report = vfs.import_tree(fs, everything, "/deep/in")
    assert report.problems == []
    assert describe(everything) == before, "an import changes nothing at its source"
    assert report.figures.links == 2
    assert report.figures.symlinks == 3
    assert report.figures.specials == (3 if IS_ROOT else 1)
    report = vfs.export_tree(fs, "/deep/in", tmp_path / "out")
    assert report.problems == []
    assert describe(tmp_path / "out") == before


def test_times_of_access_come_along(fs: vfs.FileSystem, everything: Path, tmp_path: Path) -> None:
    before = os.stat(everything / "small").st_atime_ns
    vfs.import_tree(fs, everything)
    if IS_ROOT:
        assert os.stat(everything / "small").st_atime_ns == before, "reading it left no trace"
    assert fs.resolve("/small").atime_ns == before
    vfs.export_tree(fs, "/", tmp_path / "out")
    assert fs.resolve("/small").atime_ns == before, "nor did the export"
    assert os.stat(tmp_path / "out" / "small").st_atime_ns == before


def test_holes_stay_holes(fs: vfs.FileSystem, everything: Path) -> None:
    vfs.import_tree(fs, everything)
    assert fs.resolve("/all hole").allocated == 0
    assert fs.resolve("/zeros").allocated == 0, "zeros that were written are no data either"
    assert fs.resolve("/sparse").allocated <= 4096
    assert fs.seek_data(fs.resolve("/sparse").ino, 0) == 3 << 20
    assert 0 < fs.resolve("/mixed").allocated < 14_000


def test_data_does_not_go_through_the_log(fs: vfs.FileSystem, everything: Path) -> None:
    before = fs.log.size_bytes
    vfs.import_tree(fs, everything)
    assert fs.log.size_bytes - before < 100_000
    assert fs.backlog_bytes == 0 or fs.log.size_bytes < 200_000


def test_the_same_tree_again_takes_no_room(fs: vfs.FileSystem, everything: Path) -> None:
    first = vfs.import_tree(fs, everything, "/one").figures
    second = vfs.import_tree(fs, everything, "/two").figures
    assert first.new_bytes > 1_000_000
    assert second.new_bytes == second.packed_bytes == 0
    assert second.files == first.files


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.xz", "tar.zst"])
def test_an_archive_of_ours_is_read_by_gnu_tar(
    fs: vfs.FileSystem, everything: Path, tmp_path: Path, ending: str
) -> None:
    before = describe(everything)
    vfs.import_tree(fs, everything)
    archive = tmp_path / f"out.{ending}"
    assert vfs.export_tree(fs, "/", archive).problems == []
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([*TAR, "-xpf", archive, "-C", out], check=True, timeout=60)
    after = describe(out)
    for entry in (*before.values(), *after.values()):
        entry.pop("holes", None)  # GNU tar makes holes of what the archive calls so; asked below
    assert after == before
    assert os.stat(out / "sparse").st_blocks * 512 < 1 << 20
    if ending == "tar":
        assert archive.stat().st_size < 3_000_000, "holes take no room in an archive"


@pytest.mark.parametrize("name", ["out.zip", "out.tar.bz2", "OUT.7Z"])
def test_no_folder_is_made_for_who_wants_another_kind_of_archive(
    fs: vfs.FileSystem, tmp_path: Path, name: str
) -> None:
    with pytest.raises(StoreError, match="no such archive is written here; name it"):
        vfs.export_tree(fs, "/", tmp_path / name)
    assert not (tmp_path / name).exists()
    (tmp_path / name).mkdir()
    assert vfs.export_tree(fs, "/", tmp_path / name).problems == []


def test_an_archive_of_ours_comes_in_again(fs: vfs.FileSystem, everything: Path, tmp_path: Path) -> None:
    before = describe(everything)
    vfs.import_tree(fs, everything, "/one")
    buffer = io.BytesIO()
    vfs.export_tree(fs, "/one", buffer)
    report = vfs.import_tree(fs, io.BytesIO(buffer.getvalue()), "/two")
    assert report.problems == []
    vfs.export_tree(fs, "/two", tmp_path / "out")
    assert describe(tmp_path / "out") == before


@pytest.mark.parametrize("compression", ["", "--gzip", "--xz", "--zstd", "--bzip2"])
def test_an_archive_of_gnu_tar(
    fs: vfs.FileSystem, everything: Path, tmp_path: Path, compression: str
) -> None:
    if compression and shutil.which(compression.strip("-")) is None:
        pytest.skip(f"no program for {compression}")
    archive = tmp_path / "archive, whatever its name"
    options = ["--format=posix", "--sparse", *([compression] if compression else [])]
    subprocess.run([*TAR, *options, "-cf", archive, "-C", everything, "."], check=True, timeout=60)
    before = describe(everything)
    assert vfs.import_tree(fs, archive).problems == []
    vfs.export_tree(fs, "/", tmp_path / "out")
    assert describe(tmp_path / "out") == before


FORMATS = [
    ("ustar", ""),
    ("gnu", ""),
    ("gnu", "sparse"),
    ("oldgnu", ""),
    ("oldgnu", "sparse"),
    ("posix", ""),
    ("posix", "0.0"),
    ("posix", "0.1"),
    ("posix", "1.0"),
]


@pytest.mark.parametrize(("format_", "sparse"), FORMATS)
def test_formats_of_gnu_tar(
    fs: vfs.FileSystem, everything: Path, tmp_path: Path, format_: str, sparse: str
) -> None:
    archive = tmp_path / "archive.tar"
    options = [f"--format={format_}"]
    if sparse:
        options += ["--sparse"] + ([f"--sparse-version={sparse}"] if format_ == "posix" else [])
    command = ["tar", "--numeric-owner", *options, "-cf", str(archive), "-C", str(everything)]
    with_everything = format_ != "ustar"
    subprocess.run([*command, "." if with_everything else "large"], check=True, timeout=60)
    assert vfs.import_tree(fs, archive).problems == []
    if not with_everything:
        assert fs.read_bytes("/large") == (everything / "large").read_bytes()
        return
    vfs.export_tree(fs, "/", tmp_path / "out")
    before, after = describe(everything), describe(tmp_path / "out")
    for entry in (*before.values(), *after.values()):
        del entry["xattrs"]  # only the PAX format has them
        entry["mtime"] //= 10**9  # and parts of a second
    assert after == before


def test_sockets_are_counted(fs: vfs.FileSystem, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    os.mknod(tmp_path / "in" / "socket", 0o140600)
    report = vfs.import_tree(fs, tmp_path / "in")
    assert report.skipped == {"sockets": 1}
    assert fs.listdir("/") == []
    fs.mknod(1, b"socket", 0o140600)
    assert vfs.export_tree(fs, "/", tmp_path / "out").skipped == {"sockets": 1}


def test_one_file_comes_out_under_its_name(fs: vfs.FileSystem, tmp_path: Path) -> None:
    fs.make_directory("/d")
    fs.write_bytes("/d/file", b"text")
    vfs.export_tree(fs, "/d/file", tmp_path / "out")
    assert (tmp_path / "out" / "file").read_bytes() == b"text"


def test_data_that_is_not_packed_yet_comes_out(fs: vfs.FileSystem, tmp_path: Path) -> None:
    fs.write_bytes("/raw", b"in the log" * 1000)
    fs.write_bytes("/tiny", b"in memory")
    vfs.export_tree(fs, "/", tmp_path / "out")
    assert (tmp_path / "out" / "raw").read_bytes() == b"in the log" * 1000
    assert (tmp_path / "out" / "tiny").read_bytes() == b"in memory"
