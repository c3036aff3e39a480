"""What only some runs of a verb need: the library, for a store that no daemon serves, the daemon itself, and
what draws on a terminal. Each name is imported with its first use.

Promises that a verb that only asks a daemon imports nothing of the core. A daemon takes nothing from here
once it serves: by then the files may be those of another version.
"""

from typing import TYPE_CHECKING

from vfs.deferring import deferred

if TYPE_CHECKING:
    from msgspec import to_builtins

    from vfs.backing.creation import CreationOptions
    from vfs.checks.report import report_fields
    from vfs.cli.terminal import draw_bar, draw_facts, draw_rows, draw_table
    from vfs.mount.daemon import Daemon
    from vfs.mount.supervisor import Place, Supervisor
    from vfs.repair.plan import Plan
    from vfs.repair.repair import Repair, repairing
    from vfs.snapshots.diff_report import report
    from vfs.snapshots.listing import list_fields, policy_fields, to_fields
    from vfs.snapshots.places import in_words, make_clone, remove_clone
    from vfs.snapshots.policy import Policy
    from vfs.snapshots.sides import is_about_now
    from vfs.snapshots.sizes import exclusive_bytes
    from vfs.trees.copier import Copier
    from vfs.trees.copies import find_places, run
    from vfs.trees.restorer import Restorer
else:
    __getattr__ = deferred(
        __name__,
        {
            "Copier": "vfs.trees.copier",
            "CreationOptions": "vfs.backing.creation",
            "Daemon": "vfs.mount.daemon",
            "Place": "vfs.mount.supervisor",
            "Plan": "vfs.repair.plan",
            "Policy": "vfs.snapshots.policy",
            "Repair": "vfs.repair.repair",
            "Restorer": "vfs.trees.restorer",
            "Supervisor": "vfs.mount.supervisor",
            "draw_bar": "vfs.cli.terminal",
            "draw_facts": "vfs.cli.terminal",
            "draw_rows": "vfs.cli.terminal",
            "draw_table": "vfs.cli.terminal",
            "exclusive_bytes": "vfs.snapshots.sizes",
            "find_places": "vfs.trees.copies",
            "in_words": "vfs.snapshots.places",
            "is_about_now": "vfs.snapshots.sides",
            "list_fields": "vfs.snapshots.listing",
            "make_clone": "vfs.snapshots.places",
            "policy_fields": "vfs.snapshots.listing",
            "remove_clone": "vfs.snapshots.places",
            "repairing": "vfs.repair.repair",
            "report": "vfs.snapshots.diff_report",
            "report_fields": "vfs.checks.report",
            "run": "vfs.trees.copies",
            "to_builtins": "msgspec",
            "to_fields": "vfs.snapshots.listing",
        },
    )

__all__ = [
    "Copier",
    "CreationOptions",
    "Daemon",
    "Place",
    "Plan",
    "Policy",
    "Repair",
    "Restorer",
    "Supervisor",
    "draw_bar",
    "draw_facts",
    "draw_rows",
    "draw_table",
    "exclusive_bytes",
    "find_places",
    "in_words",
    "is_about_now",
    "list_fields",
    "make_clone",
    "policy_fields",
    "remove_clone",
    "repairing",
    "report",
    "report_fields",
    "run",
    "to_builtins",
    "to_fields",
]
