"""Paths in messages. Promises one line of text, whatever bytes a path has."""


def printable(path: bytes) -> str:
    """A path for people, on one line whatever is in it."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
