"""The choices of a new store: what makes no sense is refused, and old stores mean the defaults."""

from typing import Any

import pytest

from vfs.backing.creation import CreationOptions
from vfs.errors import OptionError
from vfs.limits import KIB, MIB


def test_a_superblock_that_says_nothing_means_the_defaults() -> None:
    assert CreationOptions.from_fields({}) == CreationOptions()
    assert CreationOptions.from_fields({}).block_bytes == 128 * KIB


def test_choices_come_back_from_the_superblock() -> None:
    options = CreationOptions(compression="zstd:-3", block_bytes=MIB, blob_bytes=32 * KIB).check()
    assert CreationOptions.from_fields(options.to_fields()) == options


def test_bounds_follow_from_the_average() -> None:
    assert CreationOptions(blob_bytes=64 * KIB).bounds == (16 * KIB, 256 * KIB)
    chosen = CreationOptions(blob_bytes=64 * KIB, least_blob_bytes=2 * KIB, most_blob_bytes=MIB)
    assert chosen.check().bounds == (2 * KIB, MIB)


@pytest.mark.parametrize(
    "fields",
    [
        {"compression": "gzip"},
        {"block_bytes": 0},
        {"block_bytes": 16 * KIB - 1},
        {"block_bytes": 16 * MIB + 1},
        {"blob_bytes": 4 * KIB - 1},
        {"blob_bytes": 4 * MIB + 1},
        {"blob_bytes": 64 * KIB, "least_blob_bytes": 65 * KIB},
        {"blob_bytes": 64 * KIB, "most_blob_bytes": 63 * KIB},
        {"most_blob_bytes": 17 * MIB},
        {"least_blob_bytes": -1},
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        CreationOptions(**fields).check()
    with pytest.raises(OptionError):
        CreationOptions.from_fields(fields)


@pytest.mark.parametrize(
    "fields", [{"block_bytes": "1"}, {"block_bytes": 1.5}, {"other": 1}, {"compression": None}]
)
def test_a_superblock_with_other_things_in_it_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="superblock"):
        CreationOptions.from_fields(fields)
