"""What fsck looks at in rows of files that have a history: each is seen by somebody, or is about to go.

Looks at the rows of all branches and generations together, by queries that answer with what is wrong. What
only deleted snapshots and clones showed is right as long as a job of pruning covers it. Never repairs.
"""

from collections.abc import Iterator

from vfs.backing.readers import Job, Readers
from vfs.backing.trees import LIVE
from vfs.checks.view import View, age_of_row
from vfs.numbers import LOCAL_MASK, TREE_SHIFT

_END = LIVE + 1
"""Stands for the generation of the next row where there is none."""

_LAST_BRANCH = (1 << 63 - TREE_SHIFT) - 1
"""No number has a higher one."""

_REMOVED = (
    f"coalesce((SELECT min(t.gen) FROM inode t WHERE t.ino=x.ino AND t.gen>=x.gen AND t.mode=0), {_END})"
)
"""When the inode of a segment or an attribute was removed: their rows stay as they are."""

# (rows with `number`, `gen`, `next`: the generation from which on it is hidden, `what`; what to call them)
_ROWS = {
    "inode": (
        (
            f"SELECT ino AS number, gen, lead(gen, 1, {_END}) OVER (PARTITION BY ino ORDER BY gen) AS next,"
            " NULL AS what FROM inode"
        ),
        "inode {0}",
    ),
    "entry": (
        (
            "SELECT parent AS number, gen,"
            f" lead(gen, 1, {_END}) OVER (PARTITION BY parent, name ORDER BY gen) AS next,"
            " name AS what FROM entry"
        ),
        "entry {1!r} of directory {0}",
    ),
    "extent": (
        (
            "SELECT x.ino AS number, x.gen,"
            f" min(lead(x.gen, 1, {_END}) OVER (PARTITION BY x.ino, x.segment ORDER BY x.gen),"
            f" {_REMOVED}) AS next,"
            " x.segment AS what FROM extent x"
        ),
        "segment {1} of inode {0}",
    ),
    "xattr": (
        (
            "SELECT x.ino AS number, x.gen,"
            f" min(lead(x.gen, 1, {_END}) OVER (PARTITION BY x.ino ORDER BY x.gen), {_REMOVED}) AS next,"
            " NULL AS what FROM (SELECT DISTINCT ino, gen FROM xattr) x"
        ),
        "the attributes of inode {0}",
    ),
}
_UNSEEN = (
    "SELECT number, what, gen FROM ({rows}) r"
    f" WHERE NOT EXISTS (SELECT 1 FROM temp.reader WHERE branch=r.number>>{TREE_SHIFT}"
    " AND gen>=r.gen AND gen<r.next)"
    f" AND NOT EXISTS (SELECT 1 FROM temp.job WHERE branch=r.number>>{TREE_SHIFT}"
    " AND low<r.gen AND r.next<=high)"
)

# Tombstones, and whether the next older row of their key in the same branch is one too; NULL: there is none.
# A segment that is all hole need not be one: a file that was truncated has it as well.
_TOMBSTONES = {
    "inode": (
        (
            "SELECT ino, NULL, gen, (SELECT o.mode=0 FROM inode o WHERE o.ino=t.ino AND o.gen<t.gen"
            " ORDER BY o.gen DESC LIMIT 1) AS over FROM inode t WHERE mode=0"
        ),
        "SELECT mode=0 FROM inode WHERE ino=?1 AND ?2 IS NULL AND gen<=?3 ORDER BY gen DESC LIMIT 1",
    ),
    "entry": (
        (
            "SELECT parent, name, gen, (SELECT o.kind=0 FROM entry o"
            " WHERE o.parent=t.parent AND o.name=t.name AND o.gen<t.gen"
            " ORDER BY o.gen DESC LIMIT 1) AS over FROM entry t WHERE kind=0"
        ),
        "SELECT kind=0 FROM entry WHERE parent=?1 AND name=?2 AND gen<=?3 ORDER BY gen DESC LIMIT 1",
    ),
    "xattr": (
        (
            "SELECT ino, NULL, gen, (SELECT o.name=x'' FROM xattr o WHERE o.ino=t.ino AND o.gen<t.gen"
            " ORDER BY o.gen DESC, o.name LIMIT 1) AS over FROM xattr t WHERE name=x''"
        ),
        "SELECT name=x'' FROM xattr WHERE ino=?1 AND ?2 IS NULL AND gen<=?3 ORDER BY gen DESC, name LIMIT 1",
    ),
}


class HistoryChecks:
    """The checks of rows as parts of branches."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._query = view.query
        self._readers = Readers.load(view.query)
        self._jobs = [Job(*row) for row in view.query("SELECT id, branch, gen FROM pruning")]

    def run(self) -> None:
        """All of them."""
        self.places()
        if not self._view.plain:
            self._unseen()
            self._tombstones()

    # --- where rows are -----------------------------------------------------------------------

    def places(self) -> None:
        """Rows are of branches that exist, of generations that were, and of numbers that were handed out."""
        now = self._view.trees.generation
        following = self._view.one("SELECT next FROM sequence WHERE name='ino'")
        for table, column in (("inode", "ino"), ("entry", "parent"), ("extent", "ino"), ("xattr", "ino")):
            self._view.each(
                "generation",
                f"{{0}} rows of {table} are of generation {{1}}, now is {now}",
                f"SELECT count(*), gen FROM {table} WHERE gen>1 AND gen>? GROUP BY gen",
                now,
            )
            for branch in list(self._branches_of(table, column)):
                if branch not in self._view.trees.branches:
                    self._view.report.add(
                        "branch", f"rows of {table} are of branch {branch}, which does not exist"
                    )
                elif table == "inode":
                    self._sequence(branch, following)

    def _branches_of(self, table: str, column: str) -> Iterator[int]:
        at = 0
        sql = f"SELECT {column} FROM {table} WHERE {column}>=? ORDER BY {column} LIMIT 1"
        while at <= _LAST_BRANCH and (found := list(self._query(sql, (at << TREE_SHIFT,)))):
            yield found[0][0] >> TREE_SHIFT
            at = (found[0][0] >> TREE_SHIFT) + 1

    def _sequence(self, branch: int, following: int) -> None:
        base = branch << TREE_SHIFT
        largest = self._view.one(
            f"SELECT max(ino) FROM inode WHERE ino BETWEEN {base} AND {base | LOCAL_MASK}"
        )
        if following <= largest & LOCAL_MASK:
            self._view.tell_once(
                "sequence",
                "",
                f"the next inode number is {following}, but inode {largest & LOCAL_MASK} exists",
            )

    # --- who sees them ------------------------------------------------------------------------

    def _unseen(self) -> None:
        run = self._view.transaction.run_temporary
        run("CREATE TEMP TABLE reader(branch INTEGER, gen INTEGER, PRIMARY KEY(branch, gen)) WITHOUT ROWID")
        run("CREATE TEMP TABLE job(branch INTEGER, low INTEGER, high INTEGER)")
        branches = self._view.trees.branches
        limits = {(branch, gen) for branch in branches for gen in self._readers.of(branch)}
        run("INSERT INTO temp.reader VALUES(?, ?)", sorted(limits))
        gaps = [self._readers.gap(job.branch, job.gen) for job in self._jobs]
        run(
            "INSERT INTO temp.job VALUES(?, ?, ?)",
            {(gap.branch, gap.low, _END if gap.high is None else gap.high) for gap in gaps if gap},
        )
        for rows, text in _ROWS.values():
            for number, what, gen in self._query(_UNSEEN.format(rows=rows)):
                name = text.format(number & LOCAL_MASK, what)
                self._view.report.add("history", f"{name} {age_of_row(number, gen)} is seen by no tree")
        run("DROP TABLE temp.reader")
        run("DROP TABLE temp.job")

    def _tombstones(self) -> None:
        for table, (sql, below) in _TOMBSTONES.items():
            text = _ROWS[table][1]
            for number, what, gen, over in self._query(f"SELECT * FROM ({sql}) WHERE over IS NOT 0"):
                if over is None and self._shows_below(below, number, what):
                    continue
                if gen == self._view.trees.generation or self._is_explained(number >> TREE_SHIFT):
                    continue
                name = text.format(number & LOCAL_MASK, what)
                age = age_of_row(number, gen)
                self._view.report.add("history", f"{name} {age} is removed, and nothing was there to remove")

    def _shows_below(self, sql: str, number: int, what: object) -> bool:
        """Whether a branch that this one forks from shows something for the key."""
        branches = self._view.trees.branches
        branch = branches.get(number >> TREE_SHIFT)
        for _ in branches:
            if branch is None or branch.parent is None:
                return False
            key = (branch.parent << TREE_SHIFT | number & LOCAL_MASK, what, branch.gen)
            found = next(iter(list(self._query(sql, key))), None)
            if found is not None:
                return not found[0]
            branch = branches.get(branch.parent)
        return False

    def _is_explained(self, branch: int) -> bool:
        """Whether rows of the branch, or of one that it forks from, are being pruned."""
        pruned = {job.branch for job in self._jobs}
        branches = self._view.trees.branches
        at: int | None = branch
        for _ in range(len(branches) + 1):
            if at in pruned:
                return True
            found = None if at is None else branches.get(at)
            if found is None:
                return False
            at = found.parent
        return False
