"""The part of the bench that measures scale: a tiny run has every curve and claim, and cleans up.

Promises to be quick; it never judges a figure.
"""

import pytest

from bench.scale_curves import Findings, markdown
from bench.scale_huge import packed_pieces
from bench.scale_sizes import MIB
from tests.tiny_bench import figures_of, run_bench


def test_rows_are_markdown_and_say_what_falls_short():
    found = Findings()
    found.curve("files", "creating", "one", "/s", "files").points.update({10: [1.0, 2.0, 9.0], 20: [400.0]})
    found.at_most("files", "enough", 2, 3, "x")
    found.at_most("files", "too much", 4, 3, "x")
    assert list(markdown(found)) == [
        "| claim | measured | bound | verdict |",
        "| --- | --- | --- | --- |",
        "| enough | 2 x | ≤ 3 x | holds |",
        "| too much | 4 x | ≤ 3 x | **falls short** |",
        "",
        "| files | unit | 10 | 20 |",
        "| --- | --- | --- | --- |",
        "| creating: one | /s | 2 (1..9) | 400 |",
    ]


def test_packed_data_is_what_it_says():
    pieces = list(packed_pieces(3 * MIB))
    assert [len(piece) for piece in pieces] == [MIB] * 3
    parts = [piece[at : at + 65536] for piece in pieces for at in range(0, MIB, 65536)]
    assert len(set(parts)) == len(parts)


@pytest.mark.mounted
@pytest.mark.timeout(600)
def test_a_tiny_run_has_every_curve_and_leaves_nothing(tmp_path):
    arguments = ["--sizes", "tiny", "--plots", tmp_path / "plots"]
    done = run_bench("scale", tmp_path, *arguments)
    assert done.returncode == 0
    document = figures_of(tmp_path)
    assert document["skipped"] == []
    parts = {"files", "huge files", "snapshots", "memory"}
    assert {claim["part"] for claim in document["claims"]} == parts
    assert {curve["part"] for curve in document["curves"]} == parts
    assert all(curve["points"] and all(curve["points"].values()) for curve in document["curves"])
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "scale-files.png",
        "scale-huge-files.png",
        "scale-memory.png",
        "scale-snapshots.png",
    ]
    assert all(claim["sentence"] in done.stdout for claim in document["claims"])
