"""Names of a package or module that are imported with their first use (PEP 562).

Promises that who imports such a package pays only for what it touches. Never hides where a name comes from:
the table stands in the package, beside the same imports for type checkers.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def deferred(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package. `homes`: where each name stands, as `module`, or as `module:attribute`
    if it is called otherwise there."""

    def find(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = home.partition(":")
        found = getattr(importlib.import_module(module), attribute or name)
        setattr(sys.modules[package], name, found)  # from now on nobody asks here
        return found

    return find
