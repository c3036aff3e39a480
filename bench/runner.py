"""Runs the workloads on the targets in turn, round by round, and collects the samples.

Promises alternation: within a round each workload visits all targets before the next begins, in an order that
is drawn anew. It never lets a failure of one target end the run, and leaves no mount and no child behind.
"""

import os
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.client import Outcome, Specification, Start
from bench.client_process import ClientFailed, ClientProcess
from bench.processes import (
    DROP_EVERYTHING,
    DROP_NAMES,
    can_drop_caches,
    drop_caches,
    pin,
    readahead_file,
    settle,
)
from bench.registry import MOUNT_FIGURE
from bench.results import Sample, Skip
from bench.sizes import Sizes
from bench.targets import Mounts, Target, TargetFailed, mounts
from bench.workload import Cold, Mode, Workload

SHARED_FOLDER = "shared"
COMPRESSOR = "zstd"
NO_ROOT = "needs root to drop the kernel's caches (/proc/sys/vm/drop_caches is not writable)"


@dataclass
class Run:
    """What to do (constant) and what came out (grows)."""

    workloads: Sequence[Workload]
    targets: Mapping[str, Target]
    sizes: Sizes
    pinned: bool
    store_dir: Path
    payloads: Mapping[str, int]
    say: Callable[[str], None]
    samples: list[Sample] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    readahead_kib: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        for number in range(self.sizes.rounds):
            with mounts(self.store_dir, self.targets) as mounted:
                self._round(number, mounted)

    # -- one round ---------------------------------------------------------------------------

    def _round(self, number: int, mounted: Mounts) -> None:
        order = random.Random(number)
        for workload in self.workloads:
            modes = [mode for mode in workload.modes if self.pinned or mode != "pinned"]
            names = [name for name in workload.targets if name in self.targets]
            if workload.cold is not Cold.NOTHING and not can_drop_caches():
                self._skip(workload, "all", NO_ROOT, failed=False)
                continue
            if workload.measure is not None:
                names = self._mount_all(workload, names, mounted)
            for mode in order.sample(modes, len(modes)):
                for name in order.sample(names, len(names)):
                    self._try(workload, name, mode, number, mounted)

    def _try(self, workload: Workload, name: str, mode: Mode, number: int, mounted: Mounts) -> None:
        try:
            if workload.measure is None:
                outcome = self._measure_mount(name, mounted)
            else:
                outcome = self._measure(workload, name, mode, number, mounted)
        except (ClientFailed, TargetFailed, OSError) as error:
            self._skip(workload, name, f"{type(error).__name__}: {error}", failed=True)
            return
        self.samples.append(Sample(workload.name, name, mode, number, **asdict(outcome)))
        figures = ", ".join(f"{figure} {value:,.1f}" for figure, value in outcome.figures.items())
        self.say(f"round {number + 1}/{self.sizes.rounds} {name:5} {mode:6} {figures}")

    def _skip(self, workload: Workload, name: str, reason: str, *, failed: bool) -> None:
        skip = Skip(workload.name, name, reason, failed)
        if skip not in self.skips:
            self.skips.append(skip)
            self.say(f"{'FAILED' if failed else 'skipped'} {workload.name} on {name}: {reason}")

    # -- mounts ------------------------------------------------------------------------------

    def _mount_all(self, workload: Workload, names: Sequence[str], mounted: Mounts) -> list[str]:
        """Mount every target before one is measured, and give the floor the readahead that vfs has.

        Returns the targets that could be mounted.
        """
        ready: list[str] = []
        for name in names:
            try:
                mounted.root(name, _options(workload, name))
            except (TargetFailed, OSError) as error:
                self._skip(workload, name, str(error), failed=True)
            else:
                ready.append(name)
        if "floor" in ready and "vfs" in ready:
            self._match_readahead(workload, mounted)
        return ready

    def _match_readahead(self, workload: Workload, mounted: Mounts) -> None:
        settings: dict[str, Path] = {}
        for name in ("floor", "vfs"):
            daemon = mounted.daemon(name, _options(workload, name))
            if daemon is None:
                return
            settings[name] = readahead_file(str(daemon.mountpoint))
        try:
            wanted = int(settings["vfs"].read_text())
            if int(settings["floor"].read_text()) != wanted:
                settings["floor"].write_text(str(wanted))
        except OSError as error:
            self.say(f"readahead of the floor left as it is: {error}")
            return
        self.readahead_kib = {"floor": wanted, "vfs": wanted}

    def _make_cold(self, workload: Workload, name: str, mounted: Mounts) -> None:
        options = _options(workload, name)
        remount = workload.cold in (Cold.MOUNT, Cold.STORE) and self.targets[name].remountable
        if remount:
            mounted.stop(name, options)
        if workload.cold is Cold.STORE:
            drop_caches(DROP_EVERYTHING)
        elif workload.cold is not Cold.NOTHING:
            drop_caches(DROP_NAMES)
        mounted.root(name, options)

    # -- one measurement ---------------------------------------------------------------------

    def _measure(self, workload: Workload, name: str, mode: Mode, number: int, mounted: Mounts) -> Outcome:
        options = _options(workload, name)
        root = Path() if name == COMPRESSOR else mounted.root(name, options)
        specification = Specification(
            workload=workload.name,
            target=name,
            folder=str(root / f"{workload.name}-{mode}-{number}"),
            shared=str(root / SHARED_FOLDER),
            sizes=asdict(self.sizes),
            payloads=dict(self.payloads),
            upkeep=self.targets[name].upkeep(root),
        )
        with ClientProcess(list(self.payloads.values())) as client:
            client.tell(asdict(specification))
            client.hear()
            if name != COMPRESSOR:
                self._make_cold(workload, name, mounted)
            daemon = mounted.daemon(name, options)
            everywhere = os.sched_getaffinity(0)
            cpus = {max(everywhere)} if mode == "pinned" else everywhere
            if daemon is not None:
                settle(daemon.pid)
                pin(daemon.pid, cpus)
            try:
                client.tell(asdict(Start(daemon.pid if daemon else None, sorted(cpus))))
                return Outcome(**client.hear())
            finally:
                if daemon is not None and daemon.alive():
                    pin(daemon.pid, everywhere)

    def _measure_mount(self, name: str, mounted: Mounts) -> Outcome:
        """From the start of the daemon to the first stat answered, on a store that holds nothing."""
        seconds: list[float] = []
        for _ in range(self.sizes.mounts):
            seconds.append(mounted.start_seconds(name))
        return Outcome(len(seconds), {MOUNT_FIGURE: statistics.median(seconds) * 1e3}, 0.0, None, None)


def _options(workload: Workload, name: str) -> frozenset[str]:
    if name == "floor":
        return workload.options | workload.floor_options
    return workload.options | workload.vfs_options if name == "vfs" else frozenset()
