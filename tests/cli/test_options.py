"""Mount options: what is understood, what is refused and by what words, what the kernel is given."""

from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfs.backing.snapshot_names import check_name
from vfs.errors import OptionError, SnapshotError
from vfs.limits import MIB
from vfs.mount.options import KNOWN, MountOptions, quote_store, snapshot_option


def test_defaults() -> None:
    assert MountOptions.parse([]) == MountOptions()
    assert MountOptions().cache_bytes == 64 * MIB
    assert MountOptions().commit_seconds == 5.0


def test_every_option_is_understood() -> None:
    texts = ["ro,commit=0.5", "allow_other,noxattr,,debug", "attr_timeout=0,cache_size=2G,noexec,nodev"]
    texts += ["compression=zstd:-5,backlog=512M", "nopack,snapdir=visible,snapshot=my%2C one"]
    assert MountOptions.parse(texts) == MountOptions(
        read_only=True,
        commit_seconds=0.5,
        allow_other=True,
        noxattr=True,
        attr_timeout_seconds=0.0,
        cache_bytes=2048 * MIB,
        compression="zstd:-5",
        backlog_bytes=512 * MIB,
        pack=False,
        snapshot="my, one",
        snapdir_visible=True,
        debug=True,
        kernel_flags=("nodev", "noexec"),
    )


def test_the_later_one_counts_but_the_flag_outweighs_all() -> None:
    assert not MountOptions.parse(["ro,rw"]).read_only
    assert MountOptions.parse(["rw,ro"]).read_only
    assert MountOptions.parse(["rw"], read_only=True).read_only
    assert MountOptions.parse(["commit=1", "commit=2"]).commit_seconds == 2


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("1048576", MIB),
        ("1M", MIB),
        ("1m", MIB),
        ("1024k", MIB),
        ("3GiB", 3 << 30),
        ("1T", 1 << 40),
        ("64MB", 64 << 20),
    ],
)
def test_sizes(text: str, bytes_: int) -> None:
    assert MountOptions.parse([f"cache_size={text}"]).cache_bytes == bytes_


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour=blue", ["colour", "commit", "cache_size"]),
        ("colour", ["colour", "unknown"]),
        ("RO", ["RO", "unknown"]),
        ("ro=1", ["ro", "no value"]),
        ("commit", ["commit", "SECONDS"]),
        ("commit=", ["commit", "SECONDS"]),
        ("commit=soon", ["commit=soon", "0.1", "300"]),
        ("commit=0", ["0.1"]),
        ("commit=301", ["300"]),
        ("commit=nan", ["300"]),
        ("commit=inf", ["300"]),
        ("attr_timeout=-1", ["attr_timeout=-1"]),
        ("cache_size=1X", ["cache_size=1X", "256M"]),
        ("cache_size=1023K", ["1M"]),
        ("cache_size=9999999999999999999999", ["1T"]),
        ("cache_size=٣M", ["cache_size"]),
        ("compression=lzma", ["compression=lzma", "zstd"]),
        ("compression=zstd:0", ["compression=zstd:0"]),
        ("compression=zstd:23", ["compression=zstd:23"]),
        ("compression", ["compression", "none|zstd|zstd:LEVEL"]),
        ("backlog=1M", ["backlog=1M", "from 64M"]),
        ("backlog=lots", ["backlog=lots", "4G"]),
        ("nopack=1", ["nopack", "no value"]),
        ("dev,nodev", ["contradict"]),
        ("snapdir", ["snapdir", "visible|hidden"]),
        ("snapdir=yes", ["snapdir=yes", "snapdir=visible", "snapdir=hidden"]),
        ("snapshot=a%2Fb", ["snapshot=a%2Fb", "no '/'"]),
        ("snapshot=%FF", ["snapshot=%FF"]),
        ("snapshot", ["snapshot", "NAME"]),
    ],
)
def test_what_is_refused(text: str, words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        MountOptions.parse([text])
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_an_unknown_option_names_all_the_known_ones() -> None:
    with pytest.raises(OptionError) as caught:
        MountOptions.parse(["x"])
    for name in KNOWN:
        assert name in str(caught.value)


@pytest.mark.parametrize(("text", "word"), [("none", "none"), ("zstd", "zstd:3"), ("zstd:19", "zstd:19")])
def test_compression(text: str, word: str) -> None:
    options = MountOptions.parse([f"compression={text}"])
    assert options.compression == word
    assert options.for_filesystem()["compression"] == word


def test_the_store_is_opened_with_what_was_given_and_nothing_else() -> None:
    assert MountOptions().for_filesystem() == {
        "read_only": False,
        "commit_seconds": 5.0,
        "cache_bytes": 64 * MIB,
    }
    given_ = MountOptions.parse(["ro,backlog=1G,cache_size=8M"]).for_filesystem()
    assert (given_["read_only"], given_["backlog_limit_bytes"], given_["cache_bytes"]) == (
        True,
        1 << 30,
        8 * MIB,
    )


@given(st.text(min_size=1, max_size=40))
def test_a_snapshot_of_any_name_is_an_option(name: str) -> None:
    try:
        check_name(name)
    except SnapshotError:
        return
    options = MountOptions.parse([snapshot_option(name)])
    assert options.snapshot == name
    assert options.read_only, "it never changes"
    assert options.for_filesystem()["snapshot"] == name
    assert MountOptions.parse([f"rw,{snapshot_option(name)},rw"]).read_only
    assert "ro" in options.for_kernel(Path("/a"))


def test_snapshots_are_listed_when_they_are_wanted() -> None:
    assert MountOptions.parse(["snapdir=visible"]).for_filesystem()["snapdir_visible"] is True
    assert "snapdir_visible" not in MountOptions.parse(["snapdir=hidden"]).for_filesystem()


def test_the_kernel_is_given_its_part() -> None:
    given_ = MountOptions.parse(["ro,allow_other,nosuid,commit=1"]).for_kernel(Path("/a, b\\c"))
    assert given_ == {
        "default_permissions",
        "fsname=/a%2C%20b%5Cc",
        "subtype=vfs",
        "ro",
        "allow_other",
        "nosuid",
    }
    assert "allow_other" not in MountOptions().for_kernel(Path("/a"))


@given(st.binary(min_size=1, max_size=60).filter(lambda name: b"\0" not in name))
def test_quoted_paths_are_plain_and_lose_nothing(name: bytes) -> None:
    quoted = quote_store(Path("/") / name.decode("utf-8", errors="surrogateescape"))
    assert quoted.isascii()
    assert not set(quoted) & set(", \\\n\t#\"'")
    path = Path("/") / name.decode("utf-8", errors="surrogateescape")
    assert unquote_to_bytes(quoted) == str(path).encode("utf-8", errors="surrogateescape")
