"""A hundred snapshots at once: packing, collecting, comparing and deleting leave each of them what it was."""

import random
from pathlib import Path

import vfs
from vfs.filesystem import FileSystem

FILES = 60
SNAPSHOTS = 100

Contents = list[bytes]


def contents(fs: FileSystem, root: str = "") -> Contents:
    return [fs.read_bytes(f"{root}/f{number}") for number in range(FILES)]


def check_all(fs: FileSystem, then: dict[str, Contents]) -> None:
    assert {facts.name for facts in fs.snapshots()} == then.keys()
    for name, expected in then.items():
        assert contents(fs, f".snapshots/{name}") == expected, name


def test_packing_collecting_comparing_and_deleting_beside_a_hundred(store: Path) -> None:
    rng = random.Random(1)
    then: dict[str, Contents] = {}
    with vfs.open(store, pack_workers=0) as fs:
        for number in range(FILES):
            fs.write_bytes(f"f{number}", rng.randbytes(6000))
        for number in range(SNAPSHOTS):
            for changed in rng.sample(range(FILES), 3):
                fs.write_bytes(f"f{changed}", rng.randbytes(rng.randrange(1, 12_000)))
            fs.create_snapshot(f"s{number}")
            then[f"s{number}"] = contents(fs)
            if number % 25 == 24:
                check_all(fs, then)  # brings the maps into memory, which has to follow
                fs.flush()
                check_all(fs, then)
        now = contents(fs)
        assert fs.log.grown_bytes > 0
        assert sum(fs.store.index.referenced_chunks().values()) == 0, "all that any snapshot shows is packed"
        before = fs.sums().pack_bytes
        fs.delete_snapshots(name for name in list(then) if int(name[1:]) % 10)
        then = {name: seen for name, seen in then.items() if int(name[1:]) % 10 == 0}
        fs.collect()
        check_all(fs, then)
        assert contents(fs) == now
        assert fs.sums().pack_bytes < before
        changed_files = {each.path for each in fs.diff("s0", "s90")}
        assert len(changed_files) == sum(old != new for old, new in zip(then["s0"], then["s90"], strict=True))
        fs.rollback("s50")
        assert contents(fs) == then["s50"]
    report = vfs.check(store, data=True)
    assert report.clean, report.problems
