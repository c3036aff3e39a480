"""Names of files in a store that are looked for without opening it: what makes it a store, and its lock."""

SUPERBLOCK_NAME = "superblock.json"
INDEX_NAME = "index.db"

LOCK_NAME = "lock"
LOCK_BYTES = 32
"""More than any pid needs; what else the lock may hold is not read."""
