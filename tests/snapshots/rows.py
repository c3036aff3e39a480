"""What of the index somebody sees, worked out row by row from the definition, for comparison.

Asks for every row whether any reader of its branch sees it. Slow, and knows nothing of how pruning finds it.
"""

from collections import defaultdict
from typing import Any, NamedTuple

from vfs.backing.index import Index
from vfs.backing.transaction import EMPTY_MAP
from vfs.backing.trees import LIVE
from vfs.checks.accounts import Accounts
from vfs.inode.extent_map import ExtentMap

Key = tuple[Any, ...]

MASK = (1 << 40) - 1


class Lines(NamedTuple):
    """The limits of the readers of each branch, and what each branch forks from."""

    readers: dict[int, set[int]]
    forks: dict[int, tuple[int, int]]


def lines(index: Index) -> Lines:
    with index.checking(writable=False) as transaction:
        trees = list(transaction.query("SELECT id, branch, gen FROM tree"))
        forks = {branch: (parent, gen) for branch, parent, gen in transaction.query("SELECT * FROM branch")}
    readers: dict[int, set[int]] = defaultdict(set)
    for _, branch, gen in trees:
        readers[branch].add(gen)
    if all(tree[0] for tree in trees):
        readers[0].add(LIVE)
    for parent, gen in forks.values():
        readers[parent].add(gen)
    return Lines(readers, forks)


def unseen_rows(index: Index) -> list[str]:
    """The rows that nobody sees, tombstones that hide nothing, and branches that nobody reads."""
    readers, forks = lines(index)
    tables = _tables(index)
    found = [f"branch {branch}" for branch in forks if not readers.get(branch)]
    for table, rows in tables.items():
        for key, versions in rows.items():
            branch = key[0] >> 40
            for gen, gone in versions.items():
                sees = [limit for limit in readers.get(branch, ()) if _newest(versions, limit) == gen]
                if table in ("extent", "xattr"):
                    inode = tables["inode"].get(key[:1], {})
                    sees = [limit for limit in sees if not inode.get(_newest(inode, limit) or 0, False)]
                if not sees:
                    found.append(f"{table} {key} of generation {gen} is seen by nobody")
                elif gone and not _hides(tables, table, key, gen, forks):
                    found.append(f"{table} {key} of generation {gen} hides nothing")
    return found


def rows_of_no_tree(index: Index) -> list[str]:
    """The rows that no tree sees: neither one of that branch, nor one that looks through to it; inodes
    stay as long as anything that was theirs."""
    tables = _tables(index)
    with index.checking(writable=False) as transaction:
        trees = {tree: at for tree, *at in transaction.query("SELECT id, branch, gen FROM tree")}
        forks = {branch: (parent, gen) for branch, parent, gen in transaction.query("SELECT * FROM branch")}
    trees.setdefault(0, [0, LIVE])
    seen: set[tuple[str, Key, int]] = set()
    for branch, limit in trees.values():
        chain = [(branch, limit)]
        while chain[-1][0] in forks:
            chain.append(forks[chain[-1][0]])
        gone = set()
        for table in ("inode", "entry", "extent", "xattr"):
            for local in {(key[0] & MASK, *key[1:]) for key in tables[table]}:
                if table in ("extent", "xattr") and local[0] in gone:
                    continue
                for at, most in chain:
                    key = (at << 40 | local[0], *local[1:])
                    gen = _newest(tables[table].get(key, {}), most)
                    if gen is not None:
                        seen.add((table, key, gen))
                        if table == "inode" and tables[table][key][gen]:
                            gone.add(local[0])
                        break
    every = {(table, key, gen) for table in tables for key, found in tables[table].items() for gen in found}
    content = {key[0] for table in ("extent", "xattr") for key, found in tables[table].items() if found}
    return [
        f"{table} {key} of generation {gen}"
        for table, key, gen in every - seen
        if table != "inode" or key[0] not in content
    ]


def wrong_counts(index: Index) -> list[str]:
    """Chunks, blobs and sums that are noted with other references than all maps have."""
    with index.checking(writable=False) as transaction:
        query = transaction.query
        accounts = Accounts(query)
        for (encoded,) in query("SELECT map FROM extent"):
            accounts.count(ExtentMap.decode(encoded))
        meta: dict[str, int] = dict(query("SELECT key, value FROM meta"))
        blobs = zip(accounts.blobs.ids, accounts.blobs.found, strict=True)
        told = [
            ("chunks", dict(query("SELECT number, referenced FROM chunk")), dict(accounts.chunks)),
            ("blobs", dict(query("SELECT id, refs FROM blob")), dict(blobs)),
            ("blob bytes", meta.get("referenced_bytes", 0), accounts.blob_bytes),
            ("unknown blobs", set(), accounts.unknown),
        ]
    return [f"{what}: noted {noted}, found {found}" for what, noted, found in told if noted != found]


def _tables(index: Index) -> dict[str, dict[Key, dict[int, bool]]]:
    """table -> key -> generation -> whether it is a tombstone."""
    found: dict[str, dict[Key, dict[int, bool]]] = {
        table: defaultdict(dict) for table in ("inode", "entry", "extent", "xattr")
    }
    with index.checking(writable=False) as transaction:
        for ino, gen, mode in transaction.query("SELECT ino, gen, mode FROM inode"):
            found["inode"][ino,][gen] = mode == 0
        for parent, name, gen, kind in transaction.query("SELECT parent, name, gen, kind FROM entry"):
            found["entry"][parent, name][gen] = kind == 0
        for ino, segment, gen, encoded in transaction.query("SELECT ino, segment, gen, map FROM extent"):
            found["extent"][ino, segment][gen] = encoded == EMPTY_MAP
        for ino, gen, least in transaction.query("SELECT ino, gen, min(name) FROM xattr GROUP BY ino, gen"):
            found["xattr"][ino,][gen] = least == b""
    return found


def _newest(versions: dict[int, bool], limit: int) -> int | None:
    return max((gen for gen in versions if gen <= limit), default=None)


def _hides(
    tables: dict[str, dict[Key, dict[int, bool]]],
    table: str,
    key: Key,
    gen: int,
    forks: dict[int, tuple[int, int]],
) -> bool:
    branch, local, limit = key[0] >> 40, key[0] & MASK, gen - 1
    while True:
        at = branch << 40 | local
        versions = tables[table].get((at, *key[1:]), {})
        below = _newest(versions, limit)
        if below is not None:
            return not versions[below]
        if branch not in forks:
            return False
        branch, limit = forks[branch]
