"""What a store is made of on the disk: log, chunks, index, superblock, lock."""
