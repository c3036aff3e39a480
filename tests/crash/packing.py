"""A script of packing: passes and collections, in stages and whole, with changes of what is being packed.

Only steps, drawn from a seed. Packing changes nothing that shows, so the trees that are right are those of
the operations around it.
"""

import random

from tests.crash.steps import Data, Step

ALL = 1 << 30
CHECKPOINT = [Step("begin"), Step("gather_rest"), Step("commit"), Step("end")]
FILES = [f"/file{number}" for number in range(8)]
GONE = "/gone"


def written(rng: random.Random) -> list[Step]:
    """Files of all kinds: several blobs, several segments, holes, equal ones, ones that compress."""
    steps: list[Step] = []
    for number, path in enumerate([*FILES, GONE]):
        kind = ("random", "text", "mixed")[number % 3]
        steps += [
            Step("create", (path,)),
            Step(
                "write", (path, rng.choice((0, 0, 5000)), Data(kind, rng.choice((900, 9000, 20_000)), number))
            ),
            Step("append", (path, Data("random", 90, rng.getrandbits(32)))),
        ]
    return steps


def changes(rng: random.Random) -> list[Step]:
    """Operations on what is being packed: each of them may happen at any moment of a pass."""
    one, other, third = rng.sample(FILES, 3)
    some = [
        Step(
            "write", (one, rng.randrange(9000), Data("random", rng.choice((50, 4096)), rng.getrandbits(32)))
        ),
        Step("append", (one, Data("text", 300, rng.getrandbits(32)))),
        Step("truncate", (other, rng.choice((0, 100, 6000, 30_000)))),
        Step("punch", (other, rng.randrange(5000), 3000)),
        Step("clone", (one, 0, 9000, third, rng.choice((0, 4096, 20_000)))),
        Step("rename", (one, other, 2)),
        Step("attributes", (third, {"mode": 0o600})),
        Step("begin_read", (third,)),
        Step("read", (one,)),
        Step("end_read"),
        Step("sync"),
        Step("write", (other, 0, Data("text", 9000, rng.getrandbits(32)))),
    ]
    return rng.sample(some, rng.randint(1, 3))


def packing(seed: int) -> list[Step]:
    """A pass and a collection in stages with changes in between, and each of them whole."""
    rng = random.Random(f"packing {seed}")
    steps = [*written(rng), Step("checkpoint")]
    for most_bytes in rng.sample((10_000, 30_000, ALL), 2):
        for stage in ("pack_begin", "pack_run", "pack_commit", "pack_end"):
            steps += [Step(stage, (True, most_bytes) if stage == "pack_begin" else ()), *changes(rng)]
            if stage != "pack_commit" and rng.random() < 0.6:
                steps += CHECKPOINT
    steps += [Step("unlink", (GONE,)), *changes(rng), Step("flush")]
    for stage in ("gc_begin", "gc_run", "gc_commit", "gc_end", "gc_run", "gc_commit", "gc_end"):
        steps += [Step(stage), *changes(rng)]
        if stage != "gc_commit" and rng.random() < 0.5:
            steps += CHECKPOINT
    steps += [Step("end_read"), Step("gc_finish"), *changes(rng)]
    return [*steps, rng.choice((Step("collect_all"), Step("flush"), Step("sync")))]
