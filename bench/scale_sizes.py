"""How large the measurements of scale are: as issue and README state them, a look, or a test of the bench.

Promises that all sizes measure the same things; it never decides what is measured.
"""

from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class ScaleSizes:
    """`files`, `sparse_bytes`, `packed_bytes` and `snapshots` are sizes at which is looked, rising."""

    files: tuple[int, ...]
    files_in_folder: int
    slice_files: int
    """So many are created between two looks at the clock."""
    looks: int
    """Names and places that are looked at for one figure."""
    mounts: int
    sparse_bytes: tuple[int, ...]
    packed_bytes: tuple[int, ...]
    snapshots: tuple[int, ...]
    frozen_files: int
    cache_mib: tuple[int, ...]

    @property
    def edge(self) -> int:
        """How many of the first and the last files are compared."""
        return self.files[-1] // 10


FULL = ScaleSizes(
    files=(1_000, 10_000, 100_000, 300_000, 1_000_000),
    files_in_folder=1_000,
    slice_files=10_000,
    looks=400,
    mounts=3,
    sparse_bytes=(GIB, 10 * GIB, 100 * GIB),
    packed_bytes=(GIB, 5 * GIB, 20 * GIB),
    snapshots=(1, 10, 100, 300, 1_000),
    frozen_files=10_000,
    cache_mib=(8, 64, 256),
)

QUICK = ScaleSizes(
    files=(1_000, 10_000, 100_000),
    files_in_folder=1_000,
    slice_files=5_000,
    looks=200,
    mounts=2,
    sparse_bytes=(GIB, 10 * GIB),
    packed_bytes=(256 * MIB, GIB),
    snapshots=(1, 10, 100),
    frozen_files=2_000,
    cache_mib=(8, 64),
)

TINY = ScaleSizes(
    files=(200,),
    files_in_folder=100,
    slice_files=10,
    looks=10,
    mounts=1,
    sparse_bytes=(64 * MIB,),
    packed_bytes=(2 * MIB,),
    snapshots=(4,),
    frozen_files=50,
    cache_mib=(8,),
)

BY_NAME = {"full": FULL, "quick": QUICK, "tiny": TINY}
