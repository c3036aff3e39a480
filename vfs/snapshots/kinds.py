"""What a difference between two states can be."""

ADDED, REMOVED, CHANGED, RENAMED = "added", "removed", "changed", "renamed"
"""The kinds of differences."""

CLONE = "clone"
"""The type of a whole tree that came or went: what is in it is not told."""
