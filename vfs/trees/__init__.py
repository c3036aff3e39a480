"""Whole trees in and out of a file system: folders of the host and tar archives."""
