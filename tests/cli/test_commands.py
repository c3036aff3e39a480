"""The real command line without a mount: what it prints, its one-line errors, and its exit codes."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import vfs as library
from tests.cli.shell import vfs
from vfs.cli.application import VERBS, main


def test_version() -> None:
    ran = vfs("--version")
    assert ran == (0, f"vfs {library.__version__}\n", "")


def test_help_names_every_verb() -> None:
    ran = vfs("--help")
    assert ran.code == 0
    for verb in VERBS:
        assert verb in ran.out
    assert ran.err == ""


def test_mkfs_makes_a_store_and_nothing_else(tmp_path: Path) -> None:
    ran = vfs("mkfs", tmp_path / "a b ö")
    assert ran == (0, f"made the store {tmp_path / 'a b ö'}\n", "")
    with library.open(tmp_path / "a b ö") as fs:
        assert fs.listdir("/") == []


def test_mkfs_of_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9")
    ran = vfs("mkfs", path)
    assert ran == (0, f"made the store {path}\n", "")
    assert vfs("info", "--json", path).document["store"] == str(path)
    assert vfs("info", path).code == 0


def test_mkfs_refuses_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    ran = vfs("mkfs", tmp_path)
    assert ran.code == 1
    assert ran.error == f"{tmp_path} is not empty; give a new or an empty directory"
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_mkfs_refuses_a_store(store: Path) -> None:
    assert "not empty" in vfs("mkfs", store).error
    inside = vfs("mkfs", store / "packs" / "another")
    assert (
        inside.error
        == f"{store / 'packs' / 'another'} lies inside the store {store}; give a directory outside of it"
    )
    assert not list((store / "packs").iterdir())


def test_the_lists_of_commands_are_whole_lines() -> None:
    for words in ((), ("snapshot",)):
        listed = vfs(*words, "--help").out.partition("Commands:\n")[2].splitlines()
        assert listed
        assert [line for line in listed if not line.endswith(".")] == []
        assert [line for line in listed if line.endswith("...")] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "vfs: give a command: mkfs, mount, umount"),
        (
            ["snapshot"],
            2,
            "vfs: give a command: create, list, delete, rename, policy; see: vfs snapshot --help",
        ),
        (["fly"], 2, "No such command 'fly'; see: vfs --help"),
        (["--fly"], 2, "--fly"),
        (["mkfs"], 2, "Missing argument 'STORE'; see: vfs mkfs --help"),
        (["mkfs", ""], 2, "the path is empty"),
        (["mkfs", "a", "b"], 2, "unexpected extra argument"),
        (["mount", "a"], 2, "Missing argument 'MOUNTPOINT'"),
        (
            ["mkfs", "a", "--block-size", "large"],
            2,
            "'large' is no size; give one such as 512K or 1M; see: vfs",
        ),
        (["mount", "a", "b", "-o", "attr_timeout=-1"], 1, "give seconds from 0 to 31536000"),
        (["mkfs", "a", "--block-size", "1"], 1, "block"),
        (["mkfs", "a", "--block-size", "4T"], 1, "block"),
        (["mkfs", "a", "--blob-size", "3"], 1, "blob"),
        (["mkfs", "a", "--blob-size", "1G"], 1, "blob"),
        (["mkfs", "a", "--blob-size", "64K:16K:256K"], 1, "blob"),
        (["mkfs", "a", "--blob-size", "16K:64K"], 2, "LEAST:AVERAGE:MOST"),
        (["mkfs", "a", "--blob-size", "16K:many:64K"], 2, "no size"),
        (["mkfs", "a", "--compression", "gzip"], 1, "gzip"),
        (["mkfs", "a", "--compression", "zstd:99"], 1, "zstd:99"),
        (["mount", "a", "b", "-o", "colour"], 1, "unknown mount option 'colour'"),
        (["mount", "a", "b", "-o", "compression=gzip"], 1, "compression=gzip"),
        (["mount", "a", "b", "-o", "backlog=1K"], 1, "backlog=1K"),
        (["flush"], 2, "STORE|MOUNTPOINT"),
        (["flush", "none"], 1, "no such store"),
        (["flush", "/"], 1, "no store is mounted there"),
        (["gc"], 2, "STORE|MOUNTPOINT"),
        (["gc", "none"], 1, "no such store"),
        (["gc", "--dry", "/"], 2, "--dry"),
        (["gc", "/dev/null"], 1, "not a directory"),
        (["mount", "a", "b", "-o", "commit=never"], 1, "commit=never"),
        (["mount", "a", "b", "-o", "snapdir=maybe"], 1, "snapdir=visible or snapdir=hidden"),
        (["mount", "a", "b", "--snapshot", "x/y"], 1, "cannot be the name of a snapshot"),
        (["mount", "none", "b", "--snapshot", "x"], 1, "no such store"),
        (["snapshot", "create", "none", "x"], 1, "no such store"),
        (["snapshot", "create", "none", ""], 1, "no such store"),
        (["snapshot", "list"], 2, "STORE|MOUNTPOINT'; see: vfs snapshot list --help"),
        (["export", "a"], 2, "see: vfs export --help"),
        (["snapshot", "list", "/"], 1, "no store is mounted there"),
        (["snapshot", "list", "a", "b"], 2, "unexpected extra argument"),
        (["snapshot", "policy", "/dev/null", "hourly=1"], 1, "not a directory"),
        (["snapshot", "policy", "none", "hourly=many"], 1, "no such store"),
        (["clone", "none", "x", "y"], 1, "no such store"),
        (["clone", "none", "x"], 2, "Give NAME[:sub/dir] and PATH"),
        (["clone", "--delete", "none", "x", "y"], 2, "only PATH with --delete"),
        (["umount"], 2, "Missing argument 'MOUNTPOINT'"),
        (["info"], 2, "STORE|MOUNTPOINT"),
        (["fsck"], 16, "STORE|MOUNTPOINT"),
        (["fsck", "--fly", "a"], 16, "--fly"),
        (["fsck", "none"], 8, "no such store"),
        (["info", "none"], 1, "no such store"),
        (["umount", "none"], 1, "no store is mounted on none"),
        (["mkfs", "none/deeper"], 1, "there is no folder"),
        (["mkfs", "/dev/null"], 1, "/dev/null is not a directory; give a new or an empty directory"),
        (["info", "/dev/null"], 1, "not a directory"),
        (["info", "/"], 1, "no store is mounted there"),
        (["fsck", "/"], 8, "no store is mounted there"),
        (["mount", "none", "none"], 1, "no such store"),
        (["mount", "/", "none"], 1, "it has no superblock.json"),
    ],
)
def test_errors(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert err.startswith("vfs: ")
    assert words in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["info", "--json"], ["fsck", "--json", "none"], ["info", "x", "y", "--json"]]
)
def test_json_errors_are_one_document(arguments: list[str], tmp_path: Path) -> None:
    ran = vfs(*arguments, cwd=tmp_path)
    assert ran.code != 0
    assert ran.document == {"error": ran.error}


def test_info_and_fsck_of_a_store(store: Path) -> None:
    with library.open(store) as fs:
        fs.write_bytes("/a", b"x" * 5000)
        fs.mkdir(1, b"d", 0o755)
    ran = vfs("info", "--json", store)
    assert ran.code == 0
    facts = ran.document
    assert facts["store"] == str(store)
    assert facts["pid"] is None
    assert facts["mountpoint"] is None
    assert (facts["files"], facts["directories"], facts["logical_bytes"]) == (1, 2, 5000)
    assert facts["stored_bytes"] > 0
    lines = vfs("info", store).out.splitlines()
    assert "logical_bytes: 5000" in lines
    assert f"store: {store}" in lines
    ran = vfs("fsck", "--json", store)
    assert (ran.code, ran.document["clean"], ran.document["problems"]) == (0, True, [])
    ran = vfs("fsck", store)
    assert ran.code == 0
    assert f"{store}: clean" in ran.out


def test_mkfs_keeps_what_was_chosen(tmp_path: Path) -> None:
    store = tmp_path / "store"
    ran = vfs("mkfs", store, "--compression", "zstd:7", "--block-size", "1M", "--blob-size=32K")
    assert (ran.code, ran.err) == (0, "")
    kept = json.loads((store / "superblock.json").read_text())["options"]
    assert kept["compression"] == "zstd:7"
    assert (kept["block_bytes"], kept["blob_bytes"]) == (1 << 20, 32 << 10)
    assert vfs("info", "--json", store).document["compression"] == "zstd:7"
    bounds = tmp_path / "bounds"
    assert vfs("mkfs", bounds, "--blob-size", "8K:16K:32K").code == 0
    with library.open(bounds) as fs:
        fs.write_bytes("/noise", os.urandom(1 << 20))
        fs.flush()
        lengths = sorted(place.length for place in fs.store.rows.places(0, 1000))
    assert lengths[1] >= 8 << 10, "all but the last of the file"
    assert lengths[-1] <= 32 << 10


def test_a_store_is_packed_and_collected_without_a_mount(store: Path) -> None:
    content = os.urandom(3 << 20)
    with library.open(store) as fs:
        for name in ("/a", "/b", "/c"):
            fs.write_bytes(name, content)
    ran = vfs("flush", store)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{store}: packed 9.0 MiB\n"
    assert vfs("flush", "--json", store).document == {"store": str(store), "packed_bytes": 0}
    facts = vfs("info", "--json", store).document
    assert facts["allocated_bytes"] == facts["logical_bytes"] == 9 << 20
    assert facts["unique_bytes"] == 3 << 20
    assert (facts["backlog_bytes"], facts["dead_bytes"]) == (0, 0)
    assert 3 << 20 < facts["stored_bytes"] < 4 << 20
    assert facts["ratios"]["deduplication"] == 3.0
    with library.open(store) as fs:
        assert fs.read_bytes("/b") == content
        for name in ("/a", "/b", "/c"):
            fs.remove(name)
    assert vfs("info", "--json", store).document["dead_bytes"] >= 3 << 20
    ran = vfs("gc", "--dry-run", "--json", store)
    assert ran.code == 0
    assert ran.document["dry_run"] is True
    assert sum(path.stat().st_size for path in store.rglob("*")) > 3 << 20
    ran = vfs("gc", store)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{store}: ")
    assert sum(path.stat().st_size for path in store.rglob("*") if path.is_file()) < 1 << 20
    assert vfs("info", "--json", store).document["dead_bytes"] == 0
    assert vfs("fsck", store).code == 0


def test_fsck_finds_damage(store: Path) -> None:
    with library.open(store) as fs:
        for number in range(50):
            fs.write_bytes(f"/{number}", os.urandom(5000))
    chunk = next((store / "log").iterdir())
    os.truncate(chunk, chunk.stat().st_size // 2)
    ran = vfs("fsck", "--json", store)
    assert ran.code == 4
    assert not ran.document["clean"]
    assert ran.document["problems"]
    ran = vfs("fsck", store)
    assert ran.code == 4
    mend = f"1 problem; mend that with: vfs fsck {shlex.quote(str(store))} --repair (while it is not mounted)"
    assert ran.out.splitlines()[-1] == f"{store}: {mend}"
    assert "run vfs fsck" not in ran.out  # that is what was done


def test_a_damaged_superblock_is_told_with_the_way_out(store: Path) -> None:
    superblock, quoted, point = store / "superblock.json", shlex.quote(str(store)), store.parent / "point"
    point.mkdir()
    for reason in ("it has no superblock.json", "superblock.json is not JSON"):
        superblock.unlink()
        said = f"damaged store: {store} ({reason}); bring it back with: vfs fsck {quoted} --repair"
        if reason.endswith("JSON"):
            superblock.write_text("\0" * 100)
        for words in (("info",), ("fsck",), ("snapshot", "list"), ("mount",)):
            ran = vfs(*words, store, *([point] if words == ("mount",) else []))
            assert ran.error == said, words
        ran = vfs("fsck", "--repair", "--yes", store)
        assert ran.code == 1, ran
        assert vfs("fsck", store).code == 0


def test_a_page_of_the_index_with_a_wrong_checksum_is_called_that(store: Path) -> None:
    with library.open(store) as fs:
        fs.write_bytes("/file", b"content")
    with (store / "index.db").open("r+b") as index:
        index.seek(3 * 4096)
        index.write(os.urandom(100))
    ran = vfs("fsck", store)
    assert ran.code == 4
    assert "index: damaged index: the checksum of a page is wrong\n" in ran.out


def test_a_busy_store_is_named_with_its_owner(store: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with library.open(store):
        for verb, more, code in (
            ("info", [], 1),
            ("flush", [], 1),
            ("gc", [], 1),
            ("fsck", [], 8),
            ("mount", [tmp_path / "m"], 1),
        ):
            ran = vfs(verb, store, *more)
            assert ran.code == code
            assert f"process {os.getpid()}" in ran.error


def test_a_newer_format(store: Path) -> None:
    path = store / "superblock.json"
    fields = json.loads(path.read_text())
    fields["format"] = 999
    path.write_text(json.dumps(fields))
    for verb, code in (("info", 1), ("fsck", 8)):
        ran = vfs(verb, store)
        assert ran.code == code
        assert "format 999" in ran.error
        assert "install a newer vfs" in ran.error


def test_a_reader_that_has_enough_is_no_error_with_a_traceback(store: Path) -> None:
    command = f"{sys.executable} -m vfs info '{store}' | true"
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, timeout=60)
    assert done.stderr == b""


def test_a_fault_of_ours_is_one_line_unless_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    def fail(*arguments: object, **keywords: object) -> None:
        raise ZeroDivisionError("a fault\nof ours")

    monkeypatch.setattr(library, "check", fail)
    assert main(["fsck", str(store)]) == 8
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "unexpected ZeroDivisionError" in err
    monkeypatch.setenv("VFS_DEBUG", "1")
    assert main(["fsck", str(store)]) == 8
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    def interrupt(*arguments: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(library, "check", interrupt)
    assert main(["fsck", str(store)]) == 32
    monkeypatch.setattr(library, "open", interrupt)
    assert main(["info", "--json", str(store)]) == 130
    out, err = capsys.readouterr()
    assert err == "vfs: interrupted\n" * 2
    assert json.loads(out) == {"error": "interrupted"}
