"""Chunks that nothing needs go, and a power cut at any call of that takes none that something needs.

That a needed chunk is there shows when every content is read, and in fsck.
"""

import random

import pytest

from tests.crash.afterwards import check_clean, check_prefix, check_same, shown
from tests.crash.disks import cuts, new_disk, prefixes
from tests.crash.extent import LIVES, LONG, WAYS, style, tell
from tests.crash.lives import Life
from tests.crash.steps import Data, Step, script
from tests.crash.trees import tree

FILES = 13
GONE = 10
BEGIN = [Step("begin"), Step("gather")]
END = [Step("gather_rest"), Step("commit")]


def removing(seed: int) -> list[Step]:
    """Files over several chunks, of which some are removed, cloned from, or held open around checkpoints."""
    rng = random.Random(f"removal {seed}")
    steps: list[Step] = []
    for number in range(FILES):
        steps += [
            Step("create", (f"/file{number}",)),
            Step("write", (f"/file{number}", 0, Data("random", 9000, rng.getrandbits(32)))),
            Step("append", (f"/file{number}", Data("random", 90, rng.getrandbits(32)))),
        ]
    gone, kept = rng.sample(range(GONE), GONE), range(GONE, FILES)
    steps += [Step("checkpoint"), Step("open", (f"/file{gone[0]}", 1))]
    steps += [Step("clone", (f"/file{gone[1]}", 0, 5000, f"/file{kept[0]}", 20_000))]
    changes = [Step("unlink", (f"/file{number}",)) for number in gone]
    changes += [Step("clone", (f"/file{kept[0]}", 20_000, 4000, f"/file{kept[1]}", 100))]
    rng.shuffle(changes)
    steps += changes[:4] + BEGIN + changes[4:8] + END + changes[8:] + [Step("end")]
    steps += [Step("write_open", (1, Data("random", 900, 1))), Step("checkpoint"), Step("release", (1,))]
    steps += [Step("truncate", (f"/file{kept[2]}", 100)), Step("checkpoint")]
    return [*steps, *script(seed, 10, {f"/file{number}": ("file", number) for number in kept})]


@pytest.mark.parametrize("seed", LIVES)
def test_a_power_cut_at_any_call_takes_no_chunk_that_is_needed(seed: int) -> None:
    steps = removing(seed)
    trees = prefixes(steps)
    rng = random.Random(seed)
    found_cuts = cuts(steps, rng, 1.0 if LONG else 0.15, WAYS, **style(seed))
    for number, cut in enumerate(found_cuts):
        check_prefix(shown(cut.disk), trees, cut.synced, cut.answered + 1, cut)
        if number % 4 == 0:
            check_clean(cut.disk, cut)
    disk = new_disk()
    life = Life(disk, steps, **style(seed)).run()
    life.settle()
    life.fs.checkpoint()
    removed = [name for kind, name in disk.history if kind == "unlink" and name.startswith("log/")]
    assert removed, "chunks went in this life"
    last = tree(life.fs)
    life.fs.sync()
    check_same(shown(disk.crash(rng)), last, "after chunks went")
    life.drop()
    tell("chunk removal", seed, cuts=len(found_cuts), chunks=len(removed))
