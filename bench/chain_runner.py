"""Runs chains on grounds in turn, round by round, and collects the samples.

Promises alternation: within a round each chain visits all grounds before the next begins, in an order drawn
anew, one ground mounted at a time. It never lets the failure of one end the run, and leaves nothing behind.
"""

import itertools
import random
import resource
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.chains import Amounts, Chain, Scene, Step
from bench.grounds import Ground, Opened
from bench.keepers import KeeperFailed
from bench.processes import can_drop_caches, cpu_seconds, settle, write_calls
from bench.programs import ProgramFailed, missing, run
from bench.results import Line, Sample, Skip, lines
from bench.runner import NO_ROOT
from bench.storage import fresh
from bench.supplies import Supplies, SupplyFailed
from bench.targets import TargetFailed


@dataclass
class ChainRun:
    """What to do (constant) and what came out (grows)."""

    chains: Sequence[Chain]
    grounds: dict[str, Ground]
    supplies: Supplies
    amounts: Amounts
    folder: Path
    say: Callable[[str], None]
    samples: list[Sample] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)

    def run(self) -> None:
        """Everything that can be run here."""
        for name, ground in list(self.grounds.items()):
            if (reason := ground.ready()) is not None:
                self._skip("all", name, reason, failed=False)
                del self.grounds[name]
        chains = [chain for chain in self.chains if self._ready(chain)]
        for number, chain in itertools.product(range(self.amounts.rounds), chains):
            names = list(self.grounds)
            for name in random.Random(number).sample(names, len(names)):
                self._try(chain, name, number)

    def lines(self) -> list[Line]:
        """The report."""
        return lines([step.workload() for chain in self.chains for step in chain.steps], self.samples)

    def _skip(self, what: str, name: str, reason: str, *, failed: bool) -> None:
        skip = Skip(what, name, reason, failed)
        if skip not in self.skips:
            self.skips.append(skip)
            self.say(f"{'FAILED' if failed else 'skipped'} {what} on {name}: {reason}")

    # -- one chain ---------------------------------------------------------------------------

    def _ready(self, chain: Chain) -> bool:
        """Its programs are there, and its material; made or fetched now if it is not."""
        if (reason := missing(chain.programs)) is not None:
            self._skip(chain.name, "all", reason, failed=False)
            return False
        try:
            for name in chain.supplies:
                self.supplies.folder(name)
        except (SupplyFailed, ProgramFailed) as error:
            self._skip(chain.name, "all", str(error), failed=True)
            return False
        return True

    def _try(self, chain: Chain, name: str, number: int) -> None:
        try:
            with fresh(self.folder / "home") as home, self.grounds[name].open(home) as opened:
                scene = Scene(opened.root / chain.name, self.supplies, self.amounts)
                scene.folder.mkdir()
                for step in chain.steps:
                    self._step(step, scene, opened, name, number)
                # What is thrown away need not be packed, or written back, when it is unmounted.
                shutil.rmtree(scene.folder)
        except (ProgramFailed, KeeperFailed, TargetFailed, OSError) as error:
            self._skip(chain.name, name, f"{type(error).__name__}: {error}", failed=True)

    def _step(self, step: Step, scene: Scene, opened: Opened, name: str, number: int) -> None:
        if step.cold and not can_drop_caches():
            self._skip(step.name, name, NO_ROOT, failed=False)
            return
        times = self.amounts.repeats if step.repeated else 1
        if step.cold:
            opened.forget()
        elif step.repeated:
            step.work(scene)
        samples = [self._measure(step, scene, opened, name, number) for _ in range(times)]
        # Three times the same: the one in the middle stands for them, with its CPU.
        middle = statistics.median_low([sample.figures[step.name] for sample in samples])
        sample = next(sample for sample in samples if sample.figures[step.name] == middle)
        self.samples.append(sample)
        rounds = self.amounts.rounds
        self.say(f"round {number + 1}/{rounds} {name:5} {step.name:34} {middle:12,.3f} {step.unit}")

    def _measure(self, step: Step, scene: Scene, opened: Opened, name: str, number: int) -> Sample:
        pid = opened.pid
        if self.amounts.at_rest:
            run(["sync"], Path("/"))
            if pid is not None:
                settle(pid)
        before = _spent(pid)
        begin = time.perf_counter()
        figure = step.work(scene)
        seconds = time.perf_counter() - begin
        after = _spent(pid)
        spent = {what: after[what] - before[what] for what in after}
        return Sample(
            workload=step.name,
            target=name,
            mode="free",
            round=number,
            operations=1,
            figures={step.name: seconds if figure is None else figure, "seconds": seconds},
            client_cpu_seconds=spent["client"],
            cpu_seconds=spent.get("daemon"),
            write_calls=round(spent["writes"]) if "writes" in spent else None,
        )


def _spent(pid: int | None) -> Mapping[str, float]:
    """CPU of the programs and of the daemon so far in seconds, and the daemon's calls of write."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    spent = {"client": sum(usage.ru_utime + usage.ru_stime for usage in usages)}
    if pid is not None:
        spent["daemon"] = cpu_seconds(pid)
        if (writes := write_calls(pid)) is not None:
            spent["writes"] = writes
    return spent
