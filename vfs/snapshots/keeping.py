"""The policy of automatic snapshots as a store keeps it, and what tells whether one is worth taking.

Promises that a policy is there with the answer, and after a crash. Never takes a snapshot by itself: that is
for whoever keeps the store open and has a clock (`mount/automatic.py`).
"""

from vfs.backing.transaction import Transaction
from vfs.inode.table import InodeTable
from vfs.numbers import MAIN_TREE
from vfs.snapshots.policy import PERIOD_SECONDS, Made, Plan, Policy, plan
from vfs.snapshots.snapshotting import Snapshotting

_KEY = "policy_"
"""With the name of a class: how many of it are kept, in `meta`."""


class SetPolicy:
    """An action of a checkpoint: a policy takes the place of the one before."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def begin(self, table: InodeTable) -> None:
        """Nothing can be wrong with it."""

    def write(self, transaction: Transaction) -> None:
        transaction.put_meta({_KEY + name: count for name, count in self._policy._asdict().items()})

    def shows(self, snapshots: dict[int, str]) -> bool:
        """Memory knows nothing of it: that it failed can be told in any case."""
        return False

    def end(self, table: InodeTable) -> None:
        """The index is where it is read."""


class Keeping(Snapshotting):
    """Snapshots, and the policy by which they come and go."""

    @property
    def policy(self) -> Policy:
        """How many automatic snapshots are kept."""
        meta = self.store.index.meta()
        return Policy(**{name: meta.get(_KEY + name, 0) for name in PERIOD_SECONDS})

    def set_policy(self, policy: Policy) -> None:
        """Keep so many from now on; whoever mounts the store takes them, and removes what is too many."""
        self.writable()
        self.checkpoint(action=SetPolicy(policy))

    def changed_since(self, name: str) -> bool:
        """Whether anything may have changed since that snapshot was made, in the tree or in a clone."""
        frozen = self._frozen(name)
        main = self.table.trees.get(MAIN_TREE)
        assert main is not None, "there is always a main tree"
        tracker = self.table.tracker
        return (
            len(tracker) > 0
            or tracker.capture is not None
            or main.branch != frozen.branch  # a rollback has come between
            or self.store.index.is_newer_than(frozen.gen)
        )

    def plan_snapshots(self, policy: Policy, now_ns: int, looked_ns: int | None) -> Plan:
        """What the policy wants at this moment; see `policy.plan`."""
        return plan(policy, self._made(), now_ns, self.changed_since, looked_ns)

    def may_be_due(self, policy: Policy, now_ns: int, looked_ns: int | None) -> bool:
        """Whether `plan_snapshots` could want something, had all been changed."""
        return any(plan(policy, self._made(), now_ns, lambda name: True, looked_ns))

    def _made(self) -> list[Made]:
        in_order = sorted(self.table.trees.snapshots.values())
        return [Made(one.name, one.created, bool(one.automatic)) for one in in_order]
