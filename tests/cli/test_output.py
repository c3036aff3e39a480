"""What is printed: sizes for people, lines for pipes, nothing that a path could forge."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vfs
from tests.cli.screen import look_at_a_screen
from vfs.cli import main
from vfs.cli.output import one_line, print_facts, print_table, progress_bar, size_text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (2**70, "1048576.0 PiB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


@given(st.text())
def test_one_line_is_one_line_without_control_characters(text: str) -> None:
    line = one_line(text)
    assert "\n" not in line
    assert "\x1b" not in line
    assert len(line.splitlines()) <= 1


def test_one_line_keeps_letters_and_raw_bytes() -> None:
    assert one_line("a b ö \udce9 \n\x1b") == "a b ö \udce9 \\n\\x1b"


def test_facts_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts(
        {
            "store": "/a\nb",
            "pid": None,
            "read_only": False,
            "logical_bytes": 2048,
            "o": {"a": 1, "b": ["x", "y"]},
        },
        "t",
    )
    assert capsys.readouterr().out == (
        "store: /a\\nb\npid: -\nread_only: no\nlogical_bytes: 2048\no: a=1, b=x y\n"
    )


def test_facts_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = look_at_a_screen(monkeypatch)
    print_facts({"store": "/[bold]x", "pid": 1234567, "logical_bytes": 2048, "files": 12345}, "[red]t")
    shown = screen.getvalue()
    for words in ("/[bold]x", "[red]t", "1234567", "2.0 KiB", "12,345"):
        assert words in shown


def test_tables_are_for_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("[bold]stored", "1.0 MiB", "2.50")]
    print_table("[red]steps", ("", "size", "ratio"), rows)
    assert capsys.readouterr().out == ""
    screen = look_at_a_screen(monkeypatch)
    print_table("[red]steps", ("", "size", "ratio"), rows)
    for words in ("[red]steps", "ratio", "[bold]stored", "1.0 MiB", "2.50"):
        assert words in screen.getvalue()


def test_no_bar_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("work") as on_progress:
        on_progress(1, 2, "x")
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = look_at_a_screen(monkeypatch)
    with progress_bar("checking [x]") as on_progress:
        on_progress(1, 2, "pages")
    assert "checking [x]: pages" in screen.getvalue()


def test_info_on_a_terminal_shows_each_step_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = tmp_path / "store"
    vfs.mkfs(store)
    with vfs.open(store) as fs:
        data = os.urandom(40 * 4096)
        fs.write_bytes("/a", data + bytes(120 * 4096))
        fs.write_bytes("/b", data)
        fs.flush()
    screen = look_at_a_screen(monkeypatch)
    assert main(["info", str(store)]) == 0
    shown = screen.getvalue()
    for words, ratio in (
        ("after holes and fills", "2.50"),
        ("after deduplication", "2.00"),
        ("│ stored", ""),
    ):
        (line,) = [line for line in shown.splitlines() if words in line]
        assert ratio in line
    assert "ratios" not in shown
    assert shown.count("logical") == 1
