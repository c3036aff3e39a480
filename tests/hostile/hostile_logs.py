"""Frames, chunks and records with right checksums that no honest log has."""

import os

from msgspec.msgpack import encode

from tests.hostile.crafting import FILE, FOLDER, LINK, NOW, Workshop, hostile

APPLIED = "cannot be applied"
BIG = 2**63 - 1
FRESH = 5_000_000


@hostile(opens=True)
def log_frame_longer_than_it_is(shop: Workshop) -> None:
    shop.log(shop.create(1, b"new", FRESH), command=2**32 - 1)  # taken for a torn tail: never known as synced


@hostile(opens=True)
def log_data_longer_than_it_is(shop: Workshop) -> None:
    shop.log(shop.create(1, b"new", FRESH), data=2**32 - 1)


@hostile(opens=True)
def log_lsn_jumps(shop: Workshop) -> None:
    shop.log(shop.create(1, b"new", FRESH), lsn=2**63)


@hostile(opens=True)
def log_lsn_wraps(shop: Workshop) -> None:
    shop.log(shop.create(1, b"new", FRESH), lsn=2**64 - 1, synced=2**64 - 2)


@hostile("synced", opens=False)
def log_says_that_missing_frames_were_synced(shop: Workshop) -> None:
    lsn = shop.last_lsn()
    shop.log(shop.create(1, b"new", FRESH), lsn=lsn + 10, synced=lsn + 9)


@hostile(opens=True)
def log_chunk_after_a_gap(shop: Workshop) -> None:
    shop.chunk(2**31, shop.last_lsn() + 1)


@hostile(opens=True)
def log_chunk_with_the_last_number(shop: Workshop) -> None:
    shop.chunk(2**32 - 1, shop.last_lsn() + 1)


@hostile(opens=True)
def log_chunk_begins_far_away(shop: Workshop) -> None:
    shop.chunk(shop.last_chunk()[0] + 1, 2**63, 2**63 - 1)


@hostile("symbolic|Too many levels|regular", opens=False)
def log_chunk_is_a_symlink(shop: Workshop) -> None:
    _, path = shop.last_chunk()
    os.rename(path, shop.outside.parent / "chunk elsewhere")
    path.symlink_to(shop.outside.parent / "chunk elsewhere")


@hostile("regular", opens=False)
def log_chunk_is_a_fifo(shop: Workshop) -> None:
    os.mkfifo(shop.store / "log" / f"chunk-{shop.last_chunk()[0] + 1:08d}")


@hostile("regular", opens=False)
def log_chunk_is_a_folder(shop: Workshop) -> None:
    (shop.store / "log" / f"chunk-{shop.last_chunk()[0] + 1:08d}").mkdir()


@hostile("more than any chunk", opens=False)
def log_chunk_of_a_terabyte(shop: Workshop) -> None:
    os.truncate(shop.last_chunk()[1], 1 << 40)


@hostile("more than any chunk|missing|more than", opens=None)
def log_first_chunk_of_a_terabyte(shop: Workshop) -> None:
    os.truncate(min((shop.store / "log").iterdir()), 1 << 40)


@hostile(opens=True)
def log_names_of_many_kinds(shop: Workshop) -> None:
    for name in (
        "chunk-",
        "chunk-1",
        "chunk-99999999999999999999",
        "chunk-00000000",
        "chunk-٣٣٣٣٣٣٣٣",
        "other",
    ):
        (shop.store / "log" / name).write_bytes(b"?")


@hostile()
def log_chunk_has_a_second_name(shop: Workshop) -> None:
    os.link(shop.last_chunk()[1], shop.outside.parent / "chunk elsewhere")


def _names(name: bytes) -> None:
    title = f"log_name_{name[:8].hex()}_{len(name)}"

    def craft(shop: Workshop) -> None:
        shop.log(shop.create(1, name, FRESH, FILE))

    craft.__name__ = title
    hostile(APPLIED, opens=False)(craft)


for each in (b"", b".", b"..", b"a/b", b"/", b"../../outside/victim", b"nul\0", b"x" * 256, b"x" * 1_000_000):
    _names(each)


def _record(name: str, *commands: object, data: bytes = b"", words: str = APPLIED) -> None:
    def craft(shop: Workshop) -> None:
        shop.log(*commands, content=data)

    craft.__name__ = f"log_{name}"
    hostile(words, opens=(not words) if words in ("", APPLIED) else True)(craft)


def create(
    ino: int, mode: int, target: bytes | None = None, name: bytes = b"new", cookie: int = 1000
) -> list[object]:
    return [1, 1, name, cookie, ino, mode, 0, 0, 0, NOW, 3, 1, target]


NEW = create(FRESH, FILE)
WRITE = [8, FRESH, 0, FILE, NOW, None]

_record("ino_negative", create(-1, FILE))
_record("ino_zero", create(0, FILE))
_record("ino_of_the_root", create(1, FILE))
_record("ino_huge", create(2**64 - 1, FILE))
_record("ino_twice", create(FRESH, FILE), create(FRESH, FILE, name=b"again", cookie=1001))
_record("mode_negative", create(FRESH, -1))
_record("mode_without_type", create(FRESH, 0o644))
_record("mode_of_no_type", create(FRESH, 0o170644))
_record("link_without_target", create(FRESH, LINK))
_record("file_with_target", create(FRESH, FILE, b"target"))
_record("target_empty", create(FRESH, LINK, b""))
_record("target_long", create(FRESH, LINK, b"x" * 10_000))
_record("cookie_negative", create(FRESH, FILE, cookie=-5))
_record("cookie_of_another", create(FRESH, FILE, cookie=3))
_record("cookie_huge", create(FRESH, FILE, cookie=2**63))
_record("parent_missing", [1, 77_777, b"new", 3, FRESH, FILE, 0, 0, 0, NOW, 3, 1, None])
_record("parent_is_a_file", NEW, [1, FRESH, b"inside", 3, FRESH + 1, FILE, 0, 0, 0, NOW, 3, 1, None])
_record("fields_missing", [1, 1, b"new"])
_record("fields_of_text", [1, "1", "new", "3", "5", "6", "0", "0", "0", "0", "3", "1", None])
_record("tag_unknown", [99, 1])
_record("tag_missing", [])
_record("no_array", {"t": 1})
_record("not_msgpack", b"\xc1\xc1\xc1")
_record("msgpack_of_four_billion", b"\xdd\xff\xff\xff\xff")
_record("msgpack_deep", b"\x91" * 100_000)
_record("together_nested", [14, [[14, [[14, []]]]]])
_record("together_with_a_write", [14, [WRITE]])
_record("directory_linked", [2, 2, 1, b"again", 1000, 3, NOW])
_record("unlink_from_nothing", create(FRESH, FOLDER), [3, FRESH, b"x", 1, 0, 2, NOW])
_record("write_past_the_end", NEW, [8, FRESH, BIG, FILE, NOW, None], data=b"x" * 10)
_record("write_at_minus_one", NEW, [8, FRESH, -1, FILE, NOW, None], data=b"x" * 10)
_record("write_to_the_root", [8, 1, 0, 0o040755, NOW, None], data=b"x")
_record("write_makes_a_folder", NEW, [8, FRESH, 0, FOLDER, NOW, None])
_record("runs_of_eternity", NEW, [8, FRESH, 0, FILE, NOW, [[2**62, 7]]])
_record("runs_of_nothing", NEW, [8, FRESH, 0, FILE, NOW, [[0, 7]]])
_record("runs_negative", NEW, [8, FRESH, 0, FILE, NOW, [[-5, -1]]])
_record("runs_many", NEW, [8, FRESH, 0, FILE, NOW, [[1 << 20, 7]] * 1000])
_record("runs_of_other_data", NEW, [8, FRESH, 0, FILE, NOW, [[500, -1]]])
_record("runs_byte_300", NEW, [8, FRESH, 0, FILE, NOW, [[5, 300]]])
_record("truncate_huge", NEW, [7, FRESH, BIG, FILE, NOW], words="")
_record("truncate_too_far", NEW, [7, FRESH, 2**63, FILE, NOW])
_record("truncate_negative", NEW, [7, FRESH, -1, FILE, NOW])
_record("place_of_eternity", NEW, [9, FRESH, 0, 0, FILE, NOW, [[2, BIG, 7]]])
_record("place_too_far", NEW, [9, FRESH, BIG, BIG, FILE, NOW, [[2, BIG, 0]]])
_record("place_nowhere", NEW, [9, FRESH, 0, 0, FILE, NOW, [[1, 100, 4_000_000_000, 64, 104]]], words="chunk")
_record("place_in_no_blob", NEW, [9, FRESH, 0, 0, FILE, NOW, [[3, 100, 4_000_000, 0]]], words="blob")
_record("place_at_2_64", NEW, [9, FRESH, 0, 0, FILE, NOW, [[1, 100, 1, 2**64 - 1, 2**64 - 1]]])
_record(
    "place_outside_of_a_frame", NEW, [9, FRESH, 0, 0, FILE, NOW, [[1, 100, 1, 64, 60_000_000]]], words="chunk"
)
_record("settle_far_away", NEW, [10, FRESH, BIG - 5], data=b"x" * 10)
_record("settle_in_the_root", [10, 1, 0], data=b"x")
_record("xattr_without_name", NEW, [11, FRESH, b"", b"v", NOW])
_record("xattr_name_long", NEW, [11, FRESH, b"user." + b"x" * 1000, b"v", NOW])
_record("xattr_value_long", NEW, [11, FRESH, b"user.x", b"v" * 100_000, NOW])
_record("reserve_of_another", [12, "no such", 5])
_record("reserve_everything", [12, "ino", BIG])
_record("attributes_change_the_kind", [6, 1, FILE, 0, 0, NOW, NOW, NOW])
_record("owner_negative", [6, 1, FOLDER, -1, -1, NOW, NOW, NOW])
_record("time_huge", [6, 1, FOLDER, 0, 0, 2**64 - 1, NOW, NOW])
_record("unnamed_folder", [13, FRESH, 1, FOLDER, 0, 0, NOW])
_record("links_huge", [1, 1, b"new", 1000, FRESH, FILE, 0, 0, 0, NOW, 3, 2**40, None])
_record("rename_to_a_slash", [4, 1, b"a", 1, b"../up", 2, 1000, 3, 3, 0, 0, NOW])
_record("exchange_of_nothing", [5, 1, b"a", 2, 1000, 3, 1, b"..", 3, 1001, 3, NOW])


@hostile(opens=True)
def log_data_full_of_heads(shop: Workshop) -> None:
    """What looks like the heads of frames everywhere, each of which takes a megabyte to hash."""
    lsn = shop.last_lsn()
    head = shop.last_chunk()[1].read_bytes()[64:104]
    fake = b"vFrm" + (1 << 20).to_bytes(4, "little") + bytes(8) + (lsn + 5).to_bytes(8, "little")
    fake += (lsn + 2).to_bytes(8, "little") + head[32:]
    path = shop.last_chunk()[1]
    with open(path, "ab") as file:
        file.write(fake * 20_000 + bytes(2 << 20))


@hostile(opens=True)
def log_ends_in_a_hole(shop: Workshop) -> None:
    path = shop.last_chunk()[1]
    os.truncate(path, 64 << 20)


@hostile(APPLIED, opens=False)
def log_of_a_renamed_loop(shop: Workshop) -> None:
    """A record that would be right, then one that is in no array of ours."""
    shop.log(shop.create(1, b"new", FRESH), encode([1, [2, [3, [4]]]]))
