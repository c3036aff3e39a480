"""The numbers that bound a store, each with the reason it has the value it has.

This module only holds constants; it never computes, reads a file or imports another module of the package.
"""

KIB = 1024
MIB = 1024 * KIB

CHUNK_BYTES = 64 * MIB
"""A chunk of the log is sealed before it would pass this size: soon removable, and still few to map."""

FRAME_DATA_BYTES = 1 * MIB
"""Most data in one frame: the kernel's largest write, and the unit that a first read verifies."""

FRAME_COMMAND_BYTES = 1 * MIB
"""Most bytes in a frame's command; a longer length in a header is damage, whatever the checksum says."""

SEGMENT_BYTES = 16 * MIB
"""A file's extents are kept and loaded in pieces of this many bytes of file."""

DECODED_BLOCK_BYTES = 64 * MIB
"""A block never decodes to more, whatever a row or a table says (FORMAT.md)."""

PACK_TABLE_BYTES = 256 * MIB
"""Most bytes of a pack's tables: four million blobs, where a pack is written with some ten thousand."""

SEGMENT_EXTENTS = 1 << 20
"""Most extents of one segment, 16 bytes of file each: what they take in memory is bounded (about 200 MB)."""

LAST_CHUNK = 2**32 - 2**20
"""Highest number of a chunk that is opened: its header has 32 bits for it, and 64 TiB of log can follow."""

MEMORY_WRITE_BYTES = 4 * KIB
"""Writes shorter than this stay in memory as well, where neighbours merge."""

MEMORY_EXTENT_BYTES = 1 * MIB
"""A `Memory` extent stops growing here, so that moving it into the log is one frame."""

FILL_RUN_BYTES = 4 * KIB
"""Shortest page-aligned run of one byte inside a write that becomes a `Fill`."""

FILL_WHOLE_BYTES = 64
"""Shortest write that becomes a `Fill` when it is one byte repeated throughout."""

NAME_BYTES = 255
"""Longest name of an entry (NAME_MAX)."""

TARGET_BYTES = 4095
"""Longest target of a symbolic link (PATH_MAX without its final zero)."""

LINKS = 65_000
"""Most hard links to one inode, as on ext4; a directory has one per subdirectory and is not bound by it."""

LINKS_IN_A_ROW = 2**31 - 1
"""Most links that an inode of the index may say it has: what a 32-bit count of the kernel holds."""

LAST_NUMBER = 2**62
"""No number or LSN gets so far: what passes it is damage, and the rest of 64 bits is room to compute."""

FILE_BYTES = 2**63 - 1
"""Largest file size: what off_t can express."""

XATTR_NAME_BYTES = 255
"""Longest name of an extended attribute (XATTR_NAME_MAX)."""

XATTR_VALUE_BYTES = 64 * KIB
"""Largest value of an extended attribute (XATTR_SIZE_MAX)."""

XATTR_LIST_BYTES = 64 * KIB
"""Largest list of names of extended attributes of one inode (XATTR_LIST_MAX)."""

XATTR_BYTES = 1 * MIB
"""All names and values of extended attributes of one inode: they are kept, logged and read together."""

CLONES = 4096
"""Most clones at a time: a snapshot freezes each, and a clone of what has clones in it has as many more."""

COMMENT_CHARACTERS = 4096
"""Longest comment of a snapshot: a screen full of text."""

ROOT_INO = 1
"""Inode number of the root directory, fixed by the kernel's protocol."""
