"""What a life consists of, as plain data: a header and steps, written to a JSON file and read back unchanged.

Every step makes sense, or does nothing, whatever other steps are left out: that is what makes shrinking work.
Never runs anything.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.crash.steps import Data, Step


class Script(NamedTuple):
    """A whole life. `style` is a number of `tests.crash.extent.STYLES`, `why` what it failed with once."""

    seed: int
    style: int
    steps: tuple[Step, ...]
    why: str = ""

    def write(self, path: Path) -> None:
        """One step a line."""
        steps = ",\n  ".join(json.dumps([step.verb, *map(_plain, step.args)]) for step in self.steps)
        head = f'"why": {json.dumps(self.why)},\n "seed": {self.seed},\n "style": {self.style},\n'
        path.write_text(f'{{{head} "steps": [\n  {steps}\n ]}}\n', "utf-8")

    @classmethod
    def read(cls, path: Path) -> "Script":
        """What `write` has written."""
        fields = json.loads(path.read_text("utf-8"))
        steps = tuple(Step(verb, tuple(map(_rich, args))) for verb, *args in fields["steps"])
        return cls(fields["seed"], fields["style"], steps, fields["why"])


def _plain(value: Any) -> Any:
    if isinstance(value, Data):
        return {"data": list(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {"fields": value}
    return value


def _rich(value: Any) -> Any:
    if not isinstance(value, dict):
        return tuple(map(_rich, value)) if isinstance(value, list) else value
    ((kind, found),) = value.items()
    if kind == "data":
        return Data(*found)
    return bytes.fromhex(found) if kind == "bytes" else found
