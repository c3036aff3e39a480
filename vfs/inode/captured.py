"""What a file and its persisted segments say to each other: segments that are loaded, and what was captured.

Only types; how they are kept is the index's business, how they are used the file's.
"""

from typing import NamedTuple, Protocol


class SegmentSource(Protocol):
    """The persisted segments; what was captured counts as persisted from that moment on."""

    def load_segment(self, ino: int, number: int) -> bytes | None:
        """The encoded ExtentMap of a segment, None when there is none."""

    def allocated_from(self, ino: int, number: int) -> int:
        """The sum of the allocated bytes of the segments >= number."""

    def segment_numbers(self, ino: int, first: int, last: int) -> list[int]:
        """Which segments in [first, last] there are, in any order."""


class Captured(NamedTuple):
    """What has to be persisted: first every segment >= `voided_from` goes, then `segments` replace theirs."""

    voided_from: int | None
    segments: dict[int, bytes]
