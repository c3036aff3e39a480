"""How often the kernel was told of the inodes that are not in memory.

Promises two or three bytes for each inode where numbers lie close together, as those of a walk do, and that
they go when the kernel has forgotten: a plain dictionary takes a hundred, and never becomes smaller.
Never knows anything of an inode but its number.
"""

from collections.abc import Iterator

PAGE_BITS = 7
"""A page counts for 128 numbers in a row; at worst, with one number a page, that one takes some 300 bytes."""

PAGE = 1 << PAGE_BITS
_REST = PAGE - 1
_NOTHING = bytes(PAGE)
_MANY = 255


class LookupCounts:
    """Counts by inode number; what has none counts 0.

    INVARIANT: no page of `pages` is all zeros. INVARIANT: a byte is 255 exactly where `_many` has the count.
    """

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}
        self._many: dict[int, int] = {}

    def __contains__(self, number: int) -> bool:
        page = self.pages.get(number >> PAGE_BITS)
        return page is not None and page[number & _REST] != 0

    def get(self, number: int) -> int:
        """The count of a number."""
        page = self.pages.get(number >> PAGE_BITS)
        if page is None:
            return 0
        count = page[number & _REST]
        return count if count != _MANY else self._many[number]

    def put(self, number: int, count: int) -> None:
        """From now on that is its count."""
        key, at = number >> PAGE_BITS, number & _REST
        page = self.pages.get(key)
        if page is None:
            if not count:
                return
            page = self.pages[key] = bytearray(PAGE)
        if page[at] == _MANY:
            del self._many[number]
        if count < _MANY:
            page[at] = count
        else:
            page[at] = _MANY
            self._many[number] = count
        if not count and page == _NOTHING:
            del self.pages[key]

    def take(self, number: int) -> int:
        """The count of a number, which is 0 afterwards."""
        count = self.get(number)
        if count:
            self.put(number, 0)
        return count

    def __iter__(self) -> Iterator[int]:
        """The numbers that count, in no order."""
        for key, page in self.pages.items():
            yield from (key << PAGE_BITS | at for at, count in enumerate(page) if count)
