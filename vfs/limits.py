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

ROOT_INO = 1
"""Inode number of the root directory, fixed by the kernel's protocol."""
