"""Sizes as people write them: 512K, 64M, 3GiB.

Promises to understand the same words wherever a size may be given. Never decides which sizes are allowed.
"""

import re

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int | None:
    """The number of bytes, None when the text is no size. Units are powers of 1024, with B, iB or neither."""
    match = re.fullmatch(r"([0-9]{1,18})([KMGT]?)(iB|B)?", text, re.IGNORECASE | re.ASCII)
    return None if match is None else int(match[1]) * UNITS[match[2].upper()]
