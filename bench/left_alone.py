"""The vfs command, whose daemon leaves the handshake with the kernel to libfuse, as it did once.

Promises that everything else is the same. It is for comparing only.
"""

import sys

from vfs.cli import main
from vfs.mount import kernel


def leave_alone(made: set[int]) -> None:
    """Instead of `shake_hands`."""


if __name__ == "__main__":
    kernel.shake_hands = leave_alone  # type: ignore[attr-defined]
    sys.exit(main())
