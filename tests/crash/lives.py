"""Crash tests of the whole file system."""
