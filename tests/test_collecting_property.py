"""Whatever is written, removed, packed, collected and cut off: contents are right and fsck is clean."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.packed_stores import check, make, noise, opened, text
from vfs.backing.garbage import survey_packs

Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("write", "write", "append", "remove", "clone", "punch", "flush", "collect", "reopen", "kill")
        ),
        st.integers(0, 5),
        st.integers(1, 40_000),
    ),
    max_size=25,
)


class Life:
    """A store beside what its files should hold."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.fs = opened(store)
        self.files: dict[str, bytearray] = {}

    def step(self, kind: str, number: int, size: int) -> None:
        name = f"/{number}"
        getattr(self, kind)(name, size)

    def write(self, name: str, size: int) -> None:
        content = noise(size % 7, size)
        self.files[name] = bytearray(content)
        self.fs.write_bytes(name, content)

    def append(self, name: str, size: int) -> None:
        content = text(size % 5, size)
        held = self.files.setdefault(name, bytearray())
        inode = self.fs.resolve(name) if held else self.fs.write_bytes(name, b"")
        self.fs.write(inode.ino, len(held), content)
        held += content

    def remove(self, name: str, size: int) -> None:
        if self.files.pop(name, None) is not None:
            self.fs.remove(name)

    def clone(self, name: str, size: int) -> None:
        source = self.files.get(name)
        if not source or name == "/0":
            return
        length = min(size, len(source))
        self.files["/0"] = source[:length]
        target = self.fs.write_bytes("/0", b"")
        self.fs.clone_range(self.fs.resolve(name).ino, 0, length, target.ino, 0)

    def punch(self, name: str, size: int) -> None:
        held = self.files.get(name)
        if not held:
            return
        start = size % len(held)
        end = min(len(held), start + 5000)
        held[start:end] = bytes(end - start)
        self.fs.punch(self.fs.resolve(name).ino, start, end - start)

    def flush(self, name: str, size: int) -> None:
        self.fs.flush()

    def collect(self, name: str, size: int) -> None:
        self.fs.collect(dry_run=size % 5 == 0)

    def reopen(self, name: str, size: int) -> None:
        self.fs.close()
        self.fs = opened(self.store)

    def kill(self, name: str, size: int) -> None:
        self.fs.sync()
        self.fs.end_packing()
        self.fs.store.close()
        self.fs = opened(self.store)

    def look(self) -> None:
        assert sorted(self.fs.listdir("/")) == sorted(name[1:].encode() for name in self.files)
        for name, content in self.files.items():
            assert self.fs.read_bytes(name) == content, name


@settings(max_examples=30)
@given(steps=STEPS)
def test_any_sequence_leaves_contents_and_a_clean_store(
    steps: list[Step], tmp_path_factory: pytest.TempPathFactory
) -> None:
    life = Life(make(tmp_path_factory.mktemp("life") / "store"))
    for step in steps:
        life.step(*step)
        life.look()
    life.fs.collect()
    life.look()
    assert sum(pack.dead_bytes for pack in survey_packs(life.fs.store.index)) * 9 <= sum(
        pack.raw_bytes for pack in survey_packs(life.fs.store.index)
    )
    life.fs.close()
    check(life.store)
