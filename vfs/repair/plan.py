"""What a repair will do, in lines that a user can judge before anything is written. Does nothing itself."""

import msgspec

MOST_LINES = 200
"""Lines told of one group; more are only counted."""

MOST_LOSSES = 100_000
"""Files that are named because they lose bytes; more are only counted."""


class Group(msgspec.Struct):
    """Actions of one kind."""

    title: str
    lines: list[str] = msgspec.field(default_factory=list)
    count: int = 0

    def add(self, line: str, count: int = 1) -> None:
        """One more action, or so many in one line."""
        self.count += count
        if len(self.lines) < MOST_LINES:
            self.lines.append(line)


class Loss(msgspec.Struct, frozen=True):
    """A file of which some bytes cannot be read any more, and read as an error from now on."""

    path: str
    lost_bytes: int


class Plan(msgspec.Struct):
    """What will be done, and what is lost. Empty: there is nothing to do."""

    groups: dict[str, Group] = msgspec.field(default_factory=dict)
    losses: list[Loss] = msgspec.field(default_factory=list)
    loss_count: int = 0
    lost_bytes: int = 0
    notes: list[str] = msgspec.field(default_factory=list)

    def add(self, title: str, line: str, count: int = 1) -> None:
        """Note an action."""
        self.groups.setdefault(title, Group(title)).add(line, count)

    def lose(self, path: str, lost_bytes: int) -> None:
        """Note a file that loses bytes."""
        self.loss_count += 1
        self.lost_bytes += lost_bytes
        if len(self.losses) < MOST_LOSSES:
            self.losses.append(Loss(path, lost_bytes))

    def note(self, text: str) -> None:
        """Note what is worth knowing and changes nothing."""
        if len(self.notes) < MOST_LINES and text not in self.notes:
            self.notes.append(text)
