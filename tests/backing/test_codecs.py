"""Codecs: what goes in comes out, whatever is wrong is BadBytes, and media is known from a sample."""

import threading

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.backing.made_packs import media, text
from vfs.backing.codecs import Codec, Compression, decompress, looks_compressible
from vfs.backing.frames import BadBytes
from vfs.errors import OptionError
from vfs.limits import KIB, MIB


@pytest.mark.parametrize(
    ("words", "codec", "level", "said"),
    [
        ("none", Codec.NONE, 3, "none"),
        ("zstd", Codec.ZSTD, 3, "zstd:3"),
        ("zstd:1", Codec.ZSTD, 1, "zstd:1"),
        ("zstd:22", Codec.ZSTD, 22, "zstd:22"),
        ("zstd:-5", Codec.ZSTD, -5, "zstd:-5"),
    ],
)
def test_compression_is_said_in_words(words: str, codec: Codec, level: int, said: str) -> None:
    found = Compression.parse(words)
    assert (found.codec, found.level, str(found)) == (codec, level, said)
    assert Compression.parse(str(found)) == found


@pytest.mark.parametrize(
    "words", ["", "zstd:", "zstd:0", "zstd:23", "zstd:x", "zstd:٣", "gzip", "none:1", "zstd:3 "]
)
def test_other_words_are_refused(words: str) -> None:
    with pytest.raises(OptionError, match="give none"):
        Compression.parse(words)


@pytest.mark.parametrize("level", [-20, 1, 3, 9])
@given(data=st.binary(max_size=300), times=st.integers(1, 50))
def test_what_goes_in_comes_out(level: int, data: bytes, times: int) -> None:
    whole = data * times
    stored = Compression(Codec.ZSTD, level).compress(whole)
    if stored is not None:
        assert len(stored) <= len(whole) - len(whole) // 32
        assert decompress(stored, len(whole)) == whole


def test_what_does_not_become_smaller_is_left_as_it_is() -> None:
    compression = Compression.parse("zstd")
    assert compression.compress(media(100_000)) is None
    assert compression.compress(media(100_000) + bytes(1000)) is None, "less than one part in 32 is saved"
    assert compression.compress(media(100_000) + bytes(10_000)) is not None
    assert compression.compress(b"") is None
    assert Compression.parse("none").compress(bytes(100_000)) is None


def test_wrong_bytes_are_no_data() -> None:
    whole = text(50_000)
    stored = Compression.parse("zstd").compress(whole)
    assert stored is not None
    for bad, size in (
        (stored[:-1], len(whole)),
        (stored[:5], len(whole)),
        (b"", 0),
        (b"no frame of zstd", 16),
        (stored, len(whole) - 1),
        (stored, len(whole) + 1),
    ):
        with pytest.raises(BadBytes):
            decompress(bad, size)


def test_a_bomb_does_not_go_off() -> None:
    """A frame that says nothing of its size, or a small one, and holds a lot."""
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 * MIB))
    with pytest.raises(BadBytes):
        decompress(unsized, 100)
    huge = bytes.fromhex("28b52ffd e0") + (1 << 50).to_bytes(8, "little") + b"\1\0\0"
    assert zstandard.frame_content_size(huge) == 1 << 50
    with pytest.raises(BadBytes):
        decompress(huge, 100)
    sized = zstandard.ZstdCompressor().compress(bytes(64 * MIB))
    with pytest.raises(BadBytes):
        decompress(sized, 100)


def test_media_is_known_from_text_by_a_sample() -> None:
    assert looks_compressible(text(200 * KIB))
    assert not looks_compressible(media(200 * KIB))
    assert looks_compressible(memoryview(bytearray(200 * KIB)))
    assert looks_compressible(media(4 * KIB)), "what is short goes with its neighbours"
    assert looks_compressible(media(100 * KIB) + text(100 * KIB)), "the middle counts as well"


def test_any_thread_may_compress() -> None:
    compression = Compression.parse("zstd:3")
    right: list[bool] = []

    def work(seed: int) -> None:
        for _ in range(20):
            data = text(20_000, seed)
            stored = compression.compress(data)
            right.append(stored is not None and decompress(stored, len(data)) == data)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 80
