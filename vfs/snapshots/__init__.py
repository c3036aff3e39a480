"""Snapshots, clones and rollback: what becomes of trees as a whole."""
