"""What fsck looks at in the namespace: entries, directories, links, attributes and totals.

Each check is a query that answers with what is wrong, so memory does not grow with the store. The tables are
those of the index in a store that never had a snapshot, else what one tree sees (`seen.py`). Never repairs.
"""

from vfs.backing.trees import Tree
from vfs.checks.view import View
from vfs.inode.directory import FIRST_COOKIE
from vfs.inode.totals import Totals
from vfs.limits import NAME_BYTES, ROOT_INO
from vfs.numbers import LOCAL_MASK, MAIN_TREE


class NamespaceChecks:
    """The checks of names and inodes of one tree, and of files as its inodes have them."""

    def __init__(self, view: View, tree: Tree | None = None, where: str = "") -> None:
        """`tree`: None where the store has but one. Each message begins with `where`."""
        self._view = view
        self._tree = tree
        self._where = where
        self._root = ROOT_INO if tree is None else tree.root
        self._of_folder = self._root != ROOT_INO
        """A clone of a folder has rows of what lay around it as well, which nobody sees: they are right among
        themselves, but that its root had another name and another parent."""

    def _each(self, kind: str, text: str, sql: str, *arguments: int) -> None:
        for row in self._view.query(sql, arguments):
            self._view.tell_once(kind, self._where, text.format(*row))

    def _same_tree(self, column: str) -> str:
        """A condition: the number does not lead into another tree. What does is for `crossings.py`."""
        return "" if self._tree is None else f" AND {column}<={LOCAL_MASK}"

    def entries(self) -> None:
        """Every entry names an inode of its kind, under a name that is allowed."""
        self._each(
            "entry",
            "entry {1!r} of directory {0} names inode {2}, which does not exist",
            "SELECT e.parent, e.name, e.ino FROM entry e LEFT JOIN inode i USING (ino) WHERE i.ino IS NULL"
            + self._same_tree("e.ino")
            + (f" AND e.ino<>{self._root}" if self._of_folder else ""),
        )
        self._each(
            "entry",
            "entry {1!r} lies in inode {0}, which is no directory or does not exist",
            "SELECT e.parent, e.name FROM entry e LEFT JOIN inode i ON i.ino=e.parent"
            " WHERE i.ino IS NULL OR i.mode>>12 <> 4",
        )
        self._each(
            "entry",
            "entry {1!r} of directory {0} says kind {2}, its inode says {3}",
            "SELECT e.parent, e.name, e.kind, i.mode>>12 FROM entry e JOIN inode i ON i.ino=e.ino"
            " WHERE e.kind <> i.mode>>12",
        )
        self._each(
            "entry",
            "directory {0} has an entry whose name is not allowed: {1!r}",
            "SELECT parent, name FROM entry WHERE length(name)=0 OR length(name)>?"
            " OR name IN (x'2e', x'2e2e') OR instr(name, x'2f')"
            " OR instr(name, x'00') OR typeof(name)<>'blob'",
            NAME_BYTES,
        )
        self._each(
            "cookie",
            "entry {1!r} of directory {0} has cookie {2}, the directory's next one is {3}",
            "SELECT e.parent, e.name, e.cookie, i.cookie FROM entry e JOIN inode i ON i.ino=e.parent"
            " WHERE e.cookie >= i.cookie OR e.cookie < ?",
            FIRST_COOKIE,
        )

    def directories(self) -> None:
        """Every directory can be reached, and knows its size and its parent."""
        self._root_directory()
        self._each(
            "directory",
            "directory {0} says it has {1} entries, it has {2}",
            "SELECT i.ino, i.size, (SELECT count(*) FROM entry e WHERE e.parent=i.ino) AS n"
            " FROM inode i WHERE i.mode>>12 = 4 AND i.size <> n",
        )
        self._each(
            "directory",
            "directory {0} cannot be reached from the root",
            f"WITH RECURSIVE reached(ino) AS (VALUES({ROOT_INO}), ({self._root})"
            " UNION SELECT e.ino FROM entry e JOIN reached r ON e.parent=r.ino WHERE e.kind=4)"
            " SELECT ino FROM inode WHERE mode>>12 = 4 AND nlink>0 AND ino NOT IN (SELECT ino FROM reached)",
        )
        self._each(
            "directory",
            "directory {0} says it lies in {1}, its entry lies in {2}",
            "SELECT i.ino, i.parent, e.parent FROM entry e JOIN inode i ON i.ino=e.ino"
            " WHERE e.kind=4 AND i.parent <> e.parent" + self._same_tree("i.parent"),
        )

    def _root_directory(self) -> None:
        tree = self._tree
        found = list(self._view.query("SELECT mode>>12, parent FROM inode WHERE ino=?", (self._root,)))
        if not found and tree is not None and tree.live and tree.id != MAIN_TREE:
            return  # it was removed as any folder, and the tree goes when nobody holds a file of it
        if not found or found[0][0] != 4 or (self._is_main and found[0][1] != ROOT_INO):
            self._view.tell_once("directory", self._where, "the root directory is missing")

    @property
    def _is_main(self) -> bool:
        return self._tree is None or self._tree.source == MAIN_TREE

    def links(self) -> None:
        """Links are as many as are noted."""
        self._each(
            "links",
            "inode {0} says it has {1} links, it has {2}",
            "SELECT i.ino, i.nlink, count(e.ino) AS n FROM inode i LEFT JOIN entry e ON e.ino=i.ino"
            " WHERE i.mode>>12 <> 4 GROUP BY i.ino HAVING i.nlink <> n",
        )
        self._each(
            "links",
            "directory {0} says it has {1} links, it has {2}",
            "SELECT i.ino, i.nlink, 2 + (SELECT count(*) FROM entry e WHERE e.parent=i.ino AND e.kind=4) AS n"
            " FROM inode i WHERE i.mode>>12 = 4 AND i.nlink>0 AND i.nlink <> n",
        )
        # The root of a clone has its name in another tree. Of a clone of a folder the rows around that folder
        # can be seen as well, and one of them is the name that it had there.
        but_root = "" if self._is_main else f" AND i.ino<>{self._root}"
        self._each(
            "links",
            "directory {0} has {1} names instead of one",
            "SELECT i.ino, count(e.ino) AS n FROM inode i LEFT JOIN entry e ON e.ino=i.ino"
            f" WHERE i.mode>>12 = 4{but_root}"
            f" GROUP BY i.ino HAVING n <> (i.nlink>0 AND i.ino<>{ROOT_INO})",
        )

    def attributes(self) -> None:
        """What stands in the inodes themselves is possible."""
        self._each(
            "xattr",
            "attribute {1!r} belongs to inode {0}, which does not exist",
            "SELECT x.ino, x.name FROM xattr x LEFT JOIN inode i ON i.ino=x.ino WHERE i.ino IS NULL",
        )
        self._each(
            "inode",
            "symbolic link {0} has no target, or a target of another length than {1}",
            "SELECT ino, size FROM inode WHERE mode>>12 = 10 AND (target IS NULL OR length(target)<>size)",
        )
        self._each(
            "inode",
            "inode {0} has mode {1:o}, whose type does not exist",
            "SELECT ino, mode FROM inode WHERE mode>>12 NOT IN (1, 2, 4, 6, 8, 10, 12)",
        )
        self._each(
            "inode",
            "inode {0} has a negative size or number of links",
            "SELECT ino FROM inode WHERE size<0 OR nlink<0 OR allocated<0",
        )

    def contents(self) -> None:
        """Segments belong to files, lie within their size, and take what these say."""
        self._each(
            "extent",
            "segment {1} belongs to inode {0}, which is no file or does not exist",
            "SELECT x.ino, x.segment FROM extent x LEFT JOIN inode i ON i.ino=x.ino"
            " WHERE i.ino IS NULL OR i.mode>>12 <> 8",
        )
        self._each(
            "extent",
            "inode {0} says {1} bytes are allocated, its segments say {2}",
            "SELECT i.ino, i.allocated, coalesce(sum(x.allocated), 0) AS n FROM inode i"
            " LEFT JOIN extent x ON x.ino=i.ino GROUP BY i.ino HAVING i.allocated <> n",
        )
        if self._tree is not None:
            self._each(
                "extent",
                "segment {1} of inode {0} reaches past the file's size {2}",
                "SELECT x.ino, x.segment, i.size FROM extent x JOIN inode i ON i.ino=x.ino"
                " WHERE x.end>i.size",
            )

    def _logical_bytes(self) -> int:
        # In halves: the sum may be too large for SQLite.
        files = "FROM inode WHERE mode>>12 = 8 AND nlink>0"
        high, low = (
            self._view.one(f"SELECT sum(size >> 32) {files}"),
            self._view.one(f"SELECT sum(size & 0xffffffff) {files}"),
        )
        return (high << 32) + low

    def counted(self) -> dict[str, int]:
        """What totals should be; nothing for clones, whose totals are not kept."""
        if not self._is_main:
            return {}
        return {
            "files": self._view.one("SELECT count(*) FROM inode WHERE mode>>12 <> 4 AND nlink>0"),
            "directories": self._view.one("SELECT count(*) FROM inode WHERE mode>>12 = 4 AND nlink>0"),
            "logical_bytes": self._logical_bytes(),
        }

    def totals(self, counted: dict[str, int]) -> None:
        """Totals are what was counted."""
        tree = self._tree
        noted = Totals.from_meta(self._view.meta) if tree is None or tree.live else tree
        for key, count in counted.items():
            if getattr(noted, key) != count:
                self._view.tell_once(
                    "totals", self._where, f"{key} is noted as {getattr(noted, key)}, counted as {count}"
                )
        if tree is None or tree.live:
            self._view.report.counts.update(counted)
