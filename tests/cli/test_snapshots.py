"""`vfs snapshot` and `vfs clone`: the same words and the same results for a store and for its mount."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vfs as library
from tests.cli.living import mount
from tests.cli.shell import Ran, vfs
from vfs.cli.application import main

NAME = "vor dem Umbau, 1 – ä%2C"
"""With blanks, a comma, letters beyond ASCII, and what looks quoted."""

Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `vfs ...` in this process, which is as good as in one of its own and ten times faster."""

    def run(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Ran(code, *capsys.readouterr())

    return run


def filled(store: Path) -> None:
    with library.open(store) as fs:
        fs.make_directory("sub/dir", parents=True)
        fs.write_bytes("sub/dir/inner", b"inner")
        fs.write_bytes("file", b"then")


# Each as it is typed; TARGET is the store or its mount point.
WORDS: list[tuple[str, ...]] = [
    ("snapshot", "list", "TARGET"),
    ("snapshot", "create", "TARGET", NAME, "--comment", "zuvor\tund «danach»\n"),
    ("snapshot", "create", "TARGET", NAME),
    ("snapshot", "create", "TARGET", "a/b"),
    ("snapshot", "create", "TARGET", ".hidden"),
    ("snapshot", "create", "TARGET", "x" * 256),
    ("snapshot", "create", "TARGET", "long", "--comment", "x" * 4097),
    ("snapshot", "create", "TARGET", "second"),
    ("snapshot", "rename", "TARGET", "second", NAME),
    ("snapshot", "rename", "TARGET", "none", "some"),
    ("snapshot", "rename", "TARGET", "second", "a:b"),
    ("snapshot", "rename", "TARGET", "second", "zweiter Stand"),
    ("snapshot", "list", "TARGET"),
    ("clone", "TARGET", NAME, "sub/probe ä"),
    ("clone", "TARGET", NAME, "/sub/probe ä"),
    ("clone", "TARGET", f"{NAME}:sub/dir", "part"),
    ("clone", "TARGET", f"{NAME}:sub/none", "x"),
    ("clone", "TARGET", f"{NAME}:file", "x"),
    ("clone", "TARGET", f"{NAME}:../..", "x"),
    ("clone", "TARGET", "none", "x"),
    ("clone", "TARGET", NAME, "none/x"),
    ("clone", "TARGET", NAME, "file/x"),
    ("clone", "TARGET", NAME, "file"),
    ("clone", "TARGET", NAME, "/"),
    ("clone", "TARGET", NAME, "x" * 256),
    ("clone", "TARGET", NAME, f".snapshots/{NAME}/x"),
    ("clone", "--delete", "TARGET", "sub"),
    ("clone", "--delete", "TARGET", "sub/dir/inner"),
    ("clone", "--delete", "TARGET", "none"),
    ("clone", "--delete", "TARGET", f".snapshots/{NAME}"),
    ("clone", "--delete", "TARGET", "part"),
    ("clone", "--delete", "TARGET", "part"),
    ("snapshot", "policy", "TARGET"),
    ("snapshot", "policy", "TARGET", "hourly=0", "none"),
    ("snapshot", "policy", "TARGET", "yearly=3"),
    ("snapshot", "delete", "TARGET", "none", NAME),
    ("snapshot", "list", "TARGET"),
    ("snapshot", "delete", "TARGET", NAME, "zweiter Stand", NAME),
    ("snapshot", "list", "TARGET"),
]


def without_times(document: Any) -> Any:
    """What is the same each time."""
    if isinstance(document, dict):
        left_out = ("store", "created", "created_ns", "exclusive_bytes")
        return {key: without_times(value) for key, value in document.items() if key not in left_out}
    return list(map(without_times, document)) if isinstance(document, list) else document


def all_of_it(run: Run, target: Path) -> list[tuple[tuple[str, ...], int, Any]]:
    outcomes = []
    for words in WORDS:
        typed = [str(target) if word == "TARGET" else word for word in words]
        ran = run(*typed, "--json")
        document = ran.document
        assert ran.code == (1 if "error" in document else 0), ran
        assert ("error" not in document) or ran.error == document["error"]
        outcomes.append((words, ran.code, without_times(document)))
    return outcomes


@pytest.mark.mounted
def test_the_same_words_give_the_same_on_a_store_and_on_its_mount(
    run: Run, tmp_path: Path, store: Path, point: Path
) -> None:
    filled(store)
    unmounted = tmp_path / "unmounted"
    library.mkfs(unmounted)
    filled(unmounted)
    expected = all_of_it(run, unmounted)
    errors = [document["error"] for _, code, document in expected if code]
    assert len(errors) == 27
    assert len(set(errors)) >= 22, "each says what is wrong there"
    mount(store, point)
    assert all_of_it(run, point) == expected
    assert run("clone", "--delete", point, "sub/probe ä").code == 0
    assert all_of_it(run, store) == expected
    policies = [
        without_times(run("snapshot", "policy", target, "daily=3", "hourly=2", "--json").document)
        for target in (unmounted, store, point)
    ]
    assert policies == [{"policy": "hourly=2 daily=3", "hourly": 2, "daily": 3, "weekly": 0}] * 3


def test_what_is_listed(run: Run, store: Path) -> None:
    filled(store)
    assert run("snapshot", "create", store, NAME, "--comment", "zuvor\tund\n").code == 0
    with library.open(store) as fs:
        fs.write_bytes("file", b"larger than it was then")
        fs.create_snapshot("auto", automatic=True)
    ran = run("snapshot", "list", store, "--json")
    first, second = ran.document["snapshots"]
    assert (first["name"], first["comment"], first["automatic"]) == (NAME, "zuvor\tund\n", False)
    assert (first["files"], first["directories"], first["logical_bytes"]) == (2, 3, 9)
    assert (second["name"], second["automatic"], second["logical_bytes"]) == ("auto", True, 28)
    assert first["created"].endswith("Z")
    lines = [line.split("\t") for line in run("snapshot", "list", store).out.splitlines()]
    assert [line[0] for line in lines] == [NAME, "auto"]
    assert lines[0][1:3] == [first["created"], "2"]
    assert lines[0][-2:] == ["you", "zuvor\\tund\\n"]
    assert lines[1][-2:] == ["vfs", ""]
    facts = run("info", store, "--json").document
    assert (facts["snapshots"], facts["clones"]) == (2, 0)


def test_no_wrong_words(run: Run, store: Path) -> None:
    for words, code in (
        (("snapshot", "fly"), 2),
        (("snapshot",), 2),
        (("snapshot", "create", store), 2),
        (("snapshot", "delete", store), 2),
        (("snapshot", "rename", store, "a"), 2),
        (("clone", store, "a"), 2),
        (("clone", store, "a", "b", "c"), 2),
        (("clone", "--delete", store, "a", "b"), 2),
        (("snapshot", "create", store / "none", "a"), 1),
        (("snapshot", "list", "/"), 1),
        (("clone", "/", "a", "b"), 1),
    ):
        ran = run(*words)
        assert (ran.code, ran.out) == (code, "")
        assert ran.error


def test_help_tells_what_each_word_does(run: Run) -> None:
    said = run("snapshot", "--help").out
    for word in ("create", "list", "delete", "rename", "policy"):
        assert word in said
        assert run("snapshot", word, "--help").out.startswith(f"Usage: vfs snapshot {word} ")


@pytest.mark.mounted
def test_a_path_is_what_one_sees_below_the_mount_point(
    run: Run, store: Path, point: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store)
    mount(store, point)
    assert run("snapshot", "create", point, "then").code == 0
    assert not (point / "one").exists(), "the kernel notes that there is none"
    assert run("clone", point, "then", point / "one", "--json").document["path"] == "/one"
    assert (point / "one" / "file").read_text() == "then"
    with monkeypatch.context() as inside:
        inside.chdir(point / "sub")
        assert run("clone", "..", "then", "two", "--json").document["path"] == "/sub/two"
        assert run("clone", store, "then", "../three", "--json").document["path"] == "/three"
        assert run("clone", store, "then", "/four", "--json").document["path"] == "/four"
    assert sorted(os.listdir(point)) == ["file", "four", "one", "sub", "three"]
    (point / "one" / "new").write_text("more")
    assert run("clone", "--delete", point, point / "one").code == 0
    assert not (point / "one").exists()
    assert (point / "three" / "sub" / "two").exists() is False
    assert (point / "sub" / "two" / "sub" / "dir" / "inner").read_text() == "inner"
    facts = run("info", point, "--json").document
    assert (facts["snapshots"], facts["clones"]) == (1, 3)


@pytest.mark.mounted
def test_the_kernel_hears_of_each(run: Run, store: Path, point: Path) -> None:
    filled(store)
    mount(store, point)
    shown = point / ".snapshots"
    assert not (shown / "then").exists()
    assert run("snapshot", "create", point, "then").code == 0
    assert (shown / "then" / "file").read_text() == "then"
    assert run("snapshot", "rename", point, "then", "before").code == 0
    assert not (shown / "then").exists()
    assert (shown / "before" / "file").read_text() == "then"
    held = os.open(shown / "before" / "sub", os.O_RDONLY)
    try:
        assert run("snapshot", "delete", point, "before").code == 0
        assert not (shown / "before").exists()
        assert os.listdir(shown) == []
        with pytest.raises(OSError, match="Stale"):
            os.listdir(held)
    finally:
        os.close(held)
    assert run("clone", point, "before", "x").code == 1


@pytest.mark.mounted
def test_one_snapshot_is_mounted_in_the_place_of_all(run: Run, store: Path, point: Path) -> None:
    filled(store)
    assert run("snapshot", "create", store, NAME).code == 0
    with library.open(store) as fs:
        fs.write_bytes("file", b"now")
        fs.write_bytes("new", b"")
    mount(store, point, "--snapshot", NAME)
    assert sorted(os.listdir(point)) == ["file", "sub"]
    assert (point / "file").read_text() == "then"
    with pytest.raises(OSError, match="Read-only"):
        (point / "file").write_text("x")
    assert "read-only" in run("snapshot", "create", point, "x").error
    only = f"only snapshot '{NAME}' of the store is mounted; unmount it to see the others"
    for words in (("snapshot", "list", point), ("snapshot", "list", store), ("diff", point, NAME)):
        assert vfs(*words).error == only
    assert vfs("umount", point).code == 0
    assert "no snapshot is called 'none'" in vfs("mount", store, point, "--snapshot", "none").error
    mount(store, point)
    other = point.parent / "other"
    other.mkdir()
    said = vfs("mount", store, other, "--snapshot", NAME).error
    assert f"{point}/.snapshots/{NAME} shows that snapshot" in said
    assert vfs("umount", point).code == 0
    mount(store, point, "-o", "snapshot=vor%20dem Umbau%2C 1 – ä%252C")
    assert (point / "file").read_text() == "then"


@pytest.mark.mounted
def test_automatic_ones_come_when_a_policy_is_set(run: Run, store: Path, point: Path) -> None:
    mount(store, point)
    (point / "file").write_text("x")
    assert run("snapshot", "policy", point, "hourly=3", "weekly=1").out == "hourly=3 weekly=1\n"
    names = sorted(os.listdir(point / ".snapshots"))
    # There are two of a class when an hour, a day or a week has just ended.
    assert {name[: len("auto-hourly-2")] for name in names} == {"auto-hourly-2", "auto-weekly-2"}
    assert (point / ".snapshots" / names[0] / "file").read_text() == "x"
    assert run("snapshot", "policy", store, "daily=2").out == "daily=2\n"
    assert {name[:10] for name in os.listdir(point / ".snapshots")} == {"auto-daily"}
    assert run("snapshot", "policy", point, "none").out == "none\n"
    kept = sorted(os.listdir(point / ".snapshots"))
    assert vfs("umount", point).code == 0
    assert run("snapshot", "policy", store).out == "none\n"
    listed = run("snapshot", "list", store, "--json").document["snapshots"]
    assert [snapshot["name"] for snapshot in listed] == kept != []
