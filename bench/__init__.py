"""Benchmarks of vfs beside an empty file system on the same binding and beside the host directory.

Promises that every figure is a ratio between measurements of one run, taken in turn, with its spread.
It never imports vfs: what is measured is the program a user runs, through the kernel.
"""
