"""`python -m bench workloads`: what real people do, on the floor, the host, btrfs and vfs, in turn.

Promises ratios from one run, alternating, with the spread, and a reason for every row that is left out. What
it works on is fetched from PyPI and npm once, below the user's cache. It leaves nothing else behind.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

from rich.console import Console

from bench import supplies_fetched, supplies_made
from bench.chain_runner import ChainRun
from bench.chains import AMOUNTS, Chain
from bench.chains_data import APPENDS, FIO, MIXED, SQLITE
from bench.chains_trees import ARCHIVE, BUILD, NPM_CI, PIP_INSTALL, REPOSITORY, RSYNC
from bench.command import EXIT_FAILED, RESULTS, add_place, load_before, store_parent
from bench.grounds import grounds, same_readahead
from bench.processes import filesystem_type
from bench.report import Conditions, print_verdicts, write_json
from bench.storage import fresh
from bench.supplies import Supplies, default_folder
from bench.workloads_report import CAPTION, markdown

EVERY = (REPOSITORY, ARCHIVE, BUILD, PIP_INSTALL, NPM_CI, RSYNC, SQLITE, APPENDS, FIO, MIXED)
CHAINS: dict[str, Chain] = {chain.name: chain for chain in EVERY}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", choices=CHAINS, help="these chains only")
    parser.add_argument("--sizes", choices=AMOUNTS, default="full", help="how much (default: %(default)s)")
    parser.add_argument("--rounds", type=int, help="do everything this many times")
    parser.add_argument("--targets", default="floor,host,btrfs,vfs", help="default: %(default)s")
    parser.add_argument(
        "--material",
        type=Path,
        default=default_folder(),
        help="where what is fetched lies (default: %(default)s)",
    )
    add_place(parser, RESULTS / "workloads.json")


def main(arguments: argparse.Namespace, progress: Console, output: Console) -> int:
    def say(text: str) -> None:
        progress.print(text, markup=False, highlight=False)

    begin, load = time.monotonic(), load_before(progress)
    every = grounds(arguments.vfs)
    wanted = arguments.targets.split(",")
    if unknown := [name for name in wanted if name not in every]:
        raise SystemExit(f"no target {unknown[0]!r}: choose from {', '.join(every)}")
    amounts = AMOUNTS[arguments.sizes]
    if arguments.rounds is not None:
        amounts = dataclasses.replace(amounts, rounds=max(1, arguments.rounds))
    with tempfile.TemporaryDirectory(prefix="vfs-bench-", dir=store_parent(arguments.store_dir)) as temporary:
        folder = Path(temporary)
        if arguments.sizes == "tiny":
            supplies = Supplies(folder / "material", supplies_made.MAKERS, supplies_made.EDITION, say)
        else:
            supplies = Supplies(arguments.material, supplies_fetched.MAKERS, supplies_fetched.EDITION, say)
        run = ChainRun(
            chains=[CHAINS[name] for name in arguments.only or CHAINS],
            grounds={name: every[name] for name in wanted},
            supplies=supplies,
            amounts=amounts,
            folder=folder,
            say=say,
        )
        with fresh(folder / "readahead") as home:
            readahead = same_readahead(run.grounds, home)
        run.run()
        kind = filesystem_type(temporary)
    versions = {name: ground.version() for name, ground in run.grounds.items()}
    seconds = time.monotonic() - begin
    readaheads = {} if readahead is None else {"floor": readahead, "vfs": readahead}
    conditions = Conditions(dataclasses.asdict(amounts), versions, kind, readaheads, load, seconds)
    report = run.lines()
    output.print(markdown(report), markup=False, highlight=False, soft_wrap=True)
    output.print(CAPTION, markup=False, highlight=False)
    print_verdicts(output, report, run.skips)
    write_json(arguments.json, conditions, report, run.samples, run.skips)
    say(f"{seconds:.0f} s; JSON: {arguments.json}")
    return EXIT_FAILED if any(skip.failed for skip in run.skips) else 0
