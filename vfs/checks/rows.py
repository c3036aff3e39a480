"""What fsck looks at first: whether every row of the index holds what its columns may (backing/shapes.py).

Promises that the checks that follow meet numbers where they compute and bytes where they decode. Never looks
at what rows mean together.
"""

from vfs.backing.shapes import TABLES, out_of_bounds, wrong_types
from vfs.backing.transaction import Transaction
from vfs.checks.report import Report


def check_rows(transaction: Transaction, report: Report, missing: list[str]) -> bool:
    """Report rows that cannot be, by table and column; False when the other checks make no sense.

    `missing` tables are left out.
    """
    sound = True
    for table in TABLES.keys() - set(missing):
        columns = list(TABLES[table])
        for column, count in _counts(transaction, wrong_types(table, columns), columns):
            report.add("row", f"{count} rows of table {table} hold in {column} what is not of its type")
            sound = False
        for column, count in _counts(transaction, out_of_bounds(table, columns), columns):
            report.add("row", f"{count} rows of table {table} are out of bounds in {column}")
    return sound


def _counts(transaction: Transaction, sql: str, columns: list[str]) -> list[tuple[str, int]]:
    found = zip(columns, next(transaction.query(sql)), strict=True)
    return [(column, int(count)) for column, count in found if count]
