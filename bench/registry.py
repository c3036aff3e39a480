"""All workloads of the bench by name, in the order in which a round runs them.

Promises that runner and client mean the same workload by the same name; it never measures anything itself.
"""

from bench import workloads_data, workloads_latency, workloads_metadata, workloads_requests
from bench.workload import Row, Workload

MOUNT_FIGURE = "mount-empty"
_MOUNT = Workload(
    MOUNT_FIGURE,
    (Row(MOUNT_FIGURE, "ms", lower_is_better=True),),
    measure=None,
    targets=("floor", "vfs"),
)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        *workloads_metadata.WORKLOADS,
        *workloads_data.WORKLOADS,
        *workloads_latency.WORKLOADS,
        _MOUNT,
    )
}

CLIENTS: dict[str, Workload] = {
    **WORKLOADS,
    **{workload.name: workload for workload in workloads_requests.OPERATIONS.values()},
}
"""What a client can do: also what only other groups of measurements run."""
