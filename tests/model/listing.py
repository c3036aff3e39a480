"""A listing of a directory that goes on while entries come and go.

It knows the promise and nothing else: an entry that exists all the while is listed exactly once, and no entry
twice.
"""

from collections.abc import Iterable

from vfs.backing.tree_rows import EntryRow


class Listing:
    """One reader in the middle of a directory."""

    def __init__(self, ino: int, names: Iterable[bytes], limit: int) -> None:
        self.ino = ino
        self.limit = limit
        self.cookie = 0
        self._seen: set[bytes] = set()
        self._expected = {b".", b"..", *names}

    def removed(self, name: bytes) -> None:
        """An entry went; another of the same name may be listed from now on."""
        self._expected.discard(name)
        self._seen.discard(name)

    def got(self, rows: list[EntryRow]) -> None:
        for name, _, cookie, _ in rows:
            assert cookie > self.cookie, "cookies grow"
            assert name not in self._seen, f"{name!r} is listed twice"
            self._seen.add(name)
            self.cookie = cookie

    def ended(self) -> None:
        assert self._expected <= self._seen, f"{self._expected - self._seen} were there and not listed"
