"""The part of the bench that says where a request's time goes: its arithmetic, and a tiny run with every row.

Promises to be quick; it never judges a figure.
"""

import pytest

from bench import live_profile
from bench.counted import spent
from bench.layers import Layers, complete
from bench.requests import HEADINGS, SHOWN, lines, markdown, page_entries
from bench.results import Sample
from bench.workloads_requests import OPERATIONS, figure
from tests.tiny_bench import figures_of, run_bench

pytestmark = pytest.mark.timeout(600)

TRIO = "unrolled_run (/x/site-packages/trio/_core/_run.py:100)"
LAYERS = Layers(adapter=2.0, filesystem=3.0, log=1.0, reply=0.5, later=4.0)


def _sample(operation, target, number, microseconds, requests):
    seconds = microseconds / 1e6 * 100
    return Sample(
        figure(operation), target, "pinned", number, 100, {}, seconds / 4, seconds * 3 / 4, requests * 100
    )


def test_a_row_has_the_floor_and_the_difference_of_its_rounds():
    samples = [
        _sample("create", target, number, microseconds, 4)
        for number, both in enumerate([(40.0, 50.0), (30.0, 45.0), (36.0, 47.0)])
        for target, microseconds in zip(("floor", "vfs"), both, strict=True)
    ]
    (line,) = lines(samples, {"create": LAYERS, "lookup": LAYERS}, {"create": 9.0, "lookup": 1.0})
    assert line.binding.median == pytest.approx(36)
    assert [line.difference.least, line.difference.most] == pytest.approx([10, 15])
    assert line.daemon_us == pytest.approx(47 * 3 / 4)
    assert line.share == pytest.approx(0.25)
    assert line.passes
    row = markdown([line])[-1]
    assert row == (
        "| create (getattr, lookup, create, release) | 4.0 | 36.0 (30.0 to 40.0) | 2.00 | 3.00 | 1.00 | 0.50"
        " | 6.50 | **9.00** | 0.25 | 11.0 (10.0 to 15.0) | 4.00 |"
    )
    (line,) = lines(samples, {"create": LAYERS}, {"create": 13.0})
    assert not line.passes


def test_a_page_holds_what_the_requests_leave_it():
    samples = [_sample("readdir", "floor", 0, 1.0, 11)]
    assert page_entries(samples) == 125


def test_what_was_counted_meanwhile_is_medians_times_how_often():
    before = {"lookup": {16.0: 4}}
    after = {"lookup": {16.0: 5, 48.0: 3}, "create": {96.0: 2}, "forget": {9.0: 7}}
    assert spent(before, after) == pytest.approx((4 * 48 + 2 * 96) * 47 / 48)


def test_a_handler_that_waits_is_no_measure():
    class Waiting:
        def __await__(self):
            yield

    async def waits():
        await Waiting()

    with pytest.raises(RuntimeError, match="waits"):
        complete(waits())


@pytest.mark.parametrize(
    ("frames", "layer"),
    [
        ([TRIO], "binding"),
        ([TRIO, "handler (/a/vfs/mount/handlers.py:50)"], "adapter"),
        ([TRIO, "handler (/a/vfs/mount/handlers.py:50)", "since (/a/vfs/mount/latency.py:40)"], "adapter"),
        ([TRIO, "handler (/a/vfs/mount/handlers.py:50)", "find (/a/vfs/namespace.py:120)"], "filesystem"),
        ([TRIO, "handler (/a/vfs/mount/handlers.py:50)", "told (/a/vfs/mount/answers.py:50)"], "reply"),
        (
            [
                *(TRIO, "handler (/a/vfs/mount/handlers.py:50)", "record (/a/vfs/journal.py:99)"),
                *("append (/a/vfs/backing/log.py:200)", "append (/a/vfs/backing/directory_file.py:40)"),
            ],
            "log",
        ),
        ([TRIO, "forget (/a/vfs/mount/adapter.py:90)"], "adapter"),
        ([TRIO, "checkpoint (/a/vfs/mount/committer.py:90)"], "beside"),
        (["run (/x/lib/threading.py:900)", "run_sync (/a/vfs/backing/log.py:9)"], "beside"),
    ],
)
def test_a_stack_stands_in_one_layer(frames, layer):
    whole = ["_serve (/a/vfs/mount/daemon.py:150)", *frames]
    assert live_profile.sort_stacks([";".join(whole) + " 3"]) == {layer: 3}


@pytest.mark.mounted
def test_a_tiny_run_gives_every_row_and_leaves_nothing(tmp_path):
    done = run_bench("requests", tmp_path, "--sizes", "tiny")
    assert done.returncode == 0
    document = figures_of(tmp_path)
    skipped = {skip["workload"] for skip in document["skipped"]}
    expected = [name for name in OPERATIONS if figure(name) not in skipped]
    assert [line["operation"] for line in document["requests"]] == expected
    *table, empty, counting = done.stdout.splitlines()
    assert (empty, counting.split(":")[0]) == ("", "of which counting, in µs a request")
    # It is less than nothing where it is too little to be measured.
    assert set(document["counting_us"]) == {"median", "least", "most"}
    head, _, *rows = table
    assert head == f"| {' | '.join(HEADINGS)} |"
    assert [row.split(" | ")[0] for row in rows] == [f"| {SHOWN[name]}" for name in expected]
    for line in document["requests"]:
        assert line["counted"] > 0
        assert line["layers"]["filesystem"] + line["layers"]["log"] > 0
