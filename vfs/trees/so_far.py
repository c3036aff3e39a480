"""The words behind an error that ends a long work early: how far it came."""

SO_FAR = "(so far: "


def so_far(text: str) -> str:
    """What is said behind an error: how far it came until then."""
    return f"{SO_FAR}{text})"
