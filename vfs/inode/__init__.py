"""What a file system is made of in memory: inodes, directories, extents, numbers."""
