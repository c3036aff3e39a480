"""What fsck looks at in the namespace: entries, directories, links, attributes and totals.

Each check is a query that answers with what is wrong, so memory does not grow with the store. Never repairs.
"""

from vfs.checks.view import View
from vfs.inode.directory import FIRST_COOKIE
from vfs.inode.totals import Totals
from vfs.limits import NAME_BYTES, ROOT_INO


class NamespaceChecks:
    """The checks of names and inodes."""

    def __init__(self, view: View) -> None:
        self._view = view

    def entries(self) -> None:
        """Every entry names an inode of its kind, under a name that is allowed."""
        self._view.each(
            "entry",
            "entry {1!r} of directory {0} names inode {2}, which does not exist",
            "SELECT e.parent, e.name, e.ino FROM entry e LEFT JOIN inode i USING (ino) WHERE i.ino IS NULL",
        )
        self._view.each(
            "entry",
            "entry {1!r} lies in inode {0}, which is no directory or does not exist",
            "SELECT e.parent, e.name FROM entry e LEFT JOIN inode i ON i.ino=e.parent"
            " WHERE i.ino IS NULL OR i.mode>>12 <> 4",
        )
        self._view.each(
            "entry",
            "entry {1!r} of directory {0} says kind {2}, its inode says {3}",
            "SELECT e.parent, e.name, e.kind, i.mode>>12 FROM entry e JOIN inode i ON i.ino=e.ino"
            " WHERE e.kind <> i.mode>>12",
        )
        self._view.each(
            "entry",
            "directory {0} has an entry whose name is not allowed: {1!r}",
            "SELECT parent, name FROM entry WHERE length(name)=0 OR length(name)>?"
            " OR name IN (x'2e', x'2e2e') OR instr(name, x'2f')"
            " OR instr(name, x'00') OR typeof(name)<>'blob'",
            NAME_BYTES,
        )
        self._view.each(
            "cookie",
            "entry {1!r} of directory {0} has cookie {2}, the directory's next one is {3}",
            "SELECT e.parent, e.name, e.cookie, i.cookie FROM entry e JOIN inode i ON i.ino=e.parent"
            " WHERE e.cookie >= i.cookie OR e.cookie < ?",
            FIRST_COOKIE,
        )

    def directories(self) -> None:
        """Every directory can be reached, and knows its size and its parent."""
        if not self._view.one(
            f"SELECT count(*) FROM inode WHERE ino={ROOT_INO} AND mode>>12 = 4 AND parent={ROOT_INO}"
        ):
            self._view.report.add("directory", "the root directory is missing")
        self._view.each(
            "directory",
            "directory {0} says it has {1} entries, it has {2}",
            "SELECT i.ino, i.size, (SELECT count(*) FROM entry e WHERE e.parent=i.ino) AS n"
            " FROM inode i WHERE i.mode>>12 = 4 AND i.size <> n",
        )
        self._view.each(
            "directory",
            "directory {0} cannot be reached from the root",
            "WITH RECURSIVE reached(ino) AS (SELECT 1 UNION SELECT e.ino FROM entry e"
            " JOIN reached r ON e.parent=r.ino WHERE e.kind=4)"
            " SELECT ino FROM inode WHERE mode>>12 = 4 AND nlink>0 AND ino NOT IN (SELECT ino FROM reached)",
        )
        self._view.each(
            "directory",
            "directory {0} says it lies in {1}, its entry lies in {2}",
            "SELECT i.ino, i.parent, e.parent FROM entry e JOIN inode i ON i.ino=e.ino"
            " WHERE e.kind=4 AND i.parent <> e.parent",
        )

    def links(self) -> None:
        """Links are as many as are noted."""
        self._view.each(
            "links",
            "inode {0} says it has {1} links, it has {2}",
            "SELECT i.ino, i.nlink, count(e.ino) AS n FROM inode i LEFT JOIN entry e ON e.ino=i.ino"
            " WHERE i.mode>>12 <> 4 GROUP BY i.ino HAVING i.nlink <> n",
        )
        self._view.each(
            "links",
            "directory {0} says it has {1} links, it has {2}",
            "SELECT i.ino, i.nlink, 2 + (SELECT count(*) FROM entry e WHERE e.parent=i.ino AND e.kind=4) AS n"
            " FROM inode i WHERE i.mode>>12 = 4 AND i.nlink>0 AND i.nlink <> n",
        )
        self._view.each(
            "links",
            "directory {0} has {1} names instead of one",
            "SELECT i.ino, count(e.ino) AS n FROM inode i LEFT JOIN entry e ON e.ino=i.ino"
            " WHERE i.mode>>12 = 4 GROUP BY i.ino HAVING n <> (i.nlink>0 AND i.ino<>1)",
        )

    def attributes(self) -> None:
        """What stands in the inodes themselves is possible."""
        self._view.each(
            "xattr",
            "attribute {1!r} belongs to inode {0}, which does not exist",
            "SELECT x.ino, x.name FROM xattr x LEFT JOIN inode i ON i.ino=x.ino WHERE i.ino IS NULL",
        )
        self._view.each(
            "inode",
            "symbolic link {0} has no target, or a target of another length than {1}",
            "SELECT ino, size FROM inode WHERE mode>>12 = 10 AND (target IS NULL OR length(target)<>size)",
        )
        self._view.each(
            "inode",
            "inode {0} has mode {1:o}, whose type does not exist",
            "SELECT ino, mode FROM inode WHERE mode>>12 NOT IN (1, 2, 4, 6, 8, 10, 12)",
        )
        self._view.each(
            "inode",
            "inode {0} has a negative size or number of links",
            "SELECT ino FROM inode WHERE size<0 OR nlink<0 OR allocated<0",
        )
        largest = self._view.one("SELECT max(ino) FROM inode")
        following = self._view.one("SELECT next FROM sequence WHERE name='ino'")
        if following <= largest:
            self._view.report.add(
                "sequence", f"the next inode number is {following}, but inode {largest} exists"
            )

    def _logical_bytes(self) -> int:
        # In halves: the sum may be too large for SQLite.
        files = "FROM inode WHERE mode>>12 = 8 AND nlink>0"
        high, low = (
            self._view.one(f"SELECT sum(size >> 32) {files}"),
            self._view.one(f"SELECT sum(size & 0xffffffff) {files}"),
        )
        return (high << 32) + low

    def totals(self) -> None:
        """Totals are what is counted, and the index is not ahead of the log."""
        counted = {
            "files": self._view.one("SELECT count(*) FROM inode WHERE mode>>12 <> 4 AND nlink>0"),
            "directories": self._view.one("SELECT count(*) FROM inode WHERE mode>>12 = 4 AND nlink>0"),
            "logical_bytes": self._logical_bytes(),
        }
        noted = self._view.meta
        totals = Totals.from_meta(noted)
        for key, count in counted.items():
            if getattr(totals, key) != count:
                self._view.report.add(
                    "totals", f"{key} is noted as {getattr(totals, key)}, counted as {count}"
                )
        if noted.get("lsn", 0) > self._view.last_lsn:
            self._view.report.add(
                "log", f"the index is at LSN {noted.get('lsn')}, the log ends at {self._view.last_lsn}"
            )
        self._view.report.counts.update(counted)
