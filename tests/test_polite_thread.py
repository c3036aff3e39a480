"""The thread of the packer: others go first, and nothing of it is left running."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vfs.polite_thread import NICENESS, PoliteThread


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_it_is_nice_and_so_are_the_threads_that_it_starts() -> None:
    def both() -> tuple[int, int]:
        with ThreadPoolExecutor(1) as pool:
            return niceness(), pool.submit(niceness).result()

    thread = PoliteThread("polite")
    expected = min(19, niceness() + NICENESS)
    assert thread.run(both, cancel=lambda: None) == (expected, expected)
    assert niceness() < expected or expected == 19, "the caller is as it was"
    thread.end()
    assert not any(each.name.startswith("polite") for each in threading.enumerate())


def test_an_error_comes_back_and_the_thread_goes_on() -> None:
    def fail() -> None:
        raise ValueError("no")

    thread = PoliteThread("polite")
    with pytest.raises(ValueError, match="no"):
        thread.run(fail, cancel=lambda: None)
    assert thread.run(lambda: 3, cancel=lambda: None) == 3
    thread.end()
