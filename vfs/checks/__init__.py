"""What fsck looks at, one concept a module; `vfs/checker.py` puts them together."""
