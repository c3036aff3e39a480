"""`python -m tests.simulation SEED...|FILE.json...`: live these lives again, and tell how they end.

Exits with 1 when one of them fails. A life of a seed that fails is shrunk, a script is run as it is.
"""

import logging
import sys
from pathlib import Path

from tests.simulation.lives import LifeFailed, live, relive
from tests.simulation.report import report
from tests.simulation.script import Script


def main(arguments: list[str]) -> int:
    """Live them one after the other."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    failed = 0
    for argument in arguments:
        try:
            counts = live(int(argument)) if argument.isdigit() else relive(Script.read(Path(argument)))
        except LifeFailed as failure:
            failed += 1
            print(f"{argument}: {report(failure) if argument.isdigit() else failure}")
        else:
            print(f"{argument}: all is well after {counts}")
    return 1 if failed else 0


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main(sys.argv[1:]))
