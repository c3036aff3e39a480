"""What each part of `bench scale` works with."""

from collections.abc import Callable

from bench.scale_curves import Findings
from bench.scale_mount import Mounting
from bench.scale_sizes import ScaleSizes


class Part:
    """Mounts stores, takes figures of them at each size, and judges; `say` tells how far it has come."""

    def __init__(
        self, mounting: Mounting, sizes: ScaleSizes, findings: Findings, say: Callable[[str], None]
    ) -> None:
        self._mounting = mounting
        self._sizes = sizes
        self._findings = findings
        self._say = say
