"""The figures of a store: what the files hold, and what is left of that after each step of storing it.

Promises that every ratio is of two figures shown beside it, and None where there is nothing to divide by.
Never counts a file: it adds up what is kept as files change. What is of the index is as of the last
checkpoint, what is of the log and of the caches as of now.

    logical_bytes      sum of the sizes of all files
    allocated_bytes    of that, what is not a hole, a run of one byte, or lost
    unique_bytes       of that, equal data once: blobs that a file refers to, and what is not packed yet
    stored_bytes       what it takes on the disk: log, index and packs, with all that is dead in them
"""

from typing import Any

from vfs.backing.sums import Sums

STEPS = {
    "holes_and_fills": ("logical_bytes", "allocated_bytes"),
    "deduplication": ("allocated_bytes", "unique_bytes"),
    "storing": ("unique_bytes", "stored_bytes"),
    "in_all": ("logical_bytes", "stored_bytes"),
}
"""Each step with what comes in and what comes out."""


def data_figures(sums: Sums, *, logical_bytes: int, log_bytes: int, index_bytes: int) -> dict[str, Any]:
    """What the data of a store comes to, step by step."""
    figures: dict[str, Any] = {
        "logical_bytes": logical_bytes,
        "allocated_bytes": sums.raw_bytes + sums.referenced_bytes,
        "unique_bytes": sums.raw_bytes + sums.blob_bytes,
        "stored_bytes": log_bytes + index_bytes + sums.pack_bytes,
        "log_bytes": log_bytes,
        "index_bytes": index_bytes,
        "pack_bytes": sums.pack_bytes,
        "dead_bytes": sums.dead_bytes,
        "lost_bytes": sums.lost_bytes,
        "packs": sums.packs,
        "blocks": sums.blocks,
    }
    figures["ratios"] = {
        step: _ratio(figures[before], figures[after]) for step, (before, after) in STEPS.items()
    }
    figures["ratios"]["compression"] = _ratio(sums.block_bytes, sums.compressed_bytes)
    return figures


def _ratio(before: int, after: int) -> float | None:
    return round(before / after, 2) if after else None
