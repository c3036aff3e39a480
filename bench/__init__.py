"""Benchmarks of vfs: speed beside an empty file system and the host, room beside other programs, long writes.

Promises that what is compared is measured in one run, in turn, with its spread.
It never imports vfs: what is measured is the program a user runs, through the kernel.
"""
