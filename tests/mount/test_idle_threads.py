"""Threads that end when nobody needs them: what is handed in is done, and nothing of it is kept."""

import threading
import weakref
from functools import partial
from queue import Empty, SimpleQueue

import pytest

from tests.waiting import PATIENCE_SECONDS, eventually
from vfs.mount import idle_threads
from vfs.mount.idle_threads import IdleThreads, Job

NAME = "vfs-tried"


def running() -> set[threading.Thread]:
    """The threads of this kind that live. Those of an earlier test may end at any moment."""
    return {thread for thread in threading.enumerate() if thread.name == NAME}


def test_one_thread_does_job_after_job() -> None:
    threads, found, done = IdleThreads(NAME), list[tuple[int, int]](), threading.Event()

    def work(number: int) -> None:
        found.append((number, threading.get_ident()))

    for number in range(100):
        threads.put(partial(work, number), threads=1)
    threads.put(done.set, threads=1)
    assert done.wait(PATIENCE_SECONDS)
    assert [number for number, _ in found] == list(range(100))
    assert len({ident for _, ident in found}) == 1
    assert found[0][1] != threading.get_ident()


def test_no_more_threads_than_were_wanted() -> None:
    threads, together = IdleThreads(NAME), threading.Barrier(3 + 1)
    done: list[int] = []

    def all_met(expected: int) -> bool:
        return len(done) == expected

    def meet() -> None:
        together.wait(PATIENCE_SECONDS)
        done.append(1)

    before = running()
    for wanted in (1, 2, 3, 3, 3, 3):
        threads.put(meet, wanted)
    for expected in (3, 6):
        assert len(running() - before) == 3
        together.wait(PATIENCE_SECONDS)
        eventually(partial(all_met, expected))


def test_threads_end_when_nobody_needs_them_and_others_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_threads, "IDLE_SECONDS", 0.01)
    threads, before = IdleThreads(NAME), running()
    for _ in range(3):
        done = threading.Event()
        threads.put(done.set, threads=1)
        assert done.wait(PATIENCE_SECONDS)
        eventually(lambda: running() <= before)


class Hasty(SimpleQueue[Job]):
    """A queue whose reader gives up just when something comes."""

    gave_up = False

    def get(self, block: bool = True, timeout: float | None = None) -> Job:
        job = super().get(block, timeout)
        self.gave_up = not self.gave_up
        if self.gave_up:
            self.put(job)
            raise Empty
        return job


def test_a_thread_that_is_about_to_end_takes_what_comes_at_that_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idle_threads, "SimpleQueue", Hasty)
    threads = IdleThreads(NAME)
    for _ in range(10):
        done = threading.Event()
        threads.put(done.set, threads=1)
        assert done.wait(PATIENCE_SECONDS)


def test_where_no_thread_can_be_begun_the_next_job_finds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, done = IdleThreads(NAME), SimpleQueue[int]()

    def refuse(begun: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            threads.put(partial(done.put, 1), threads=1)
    threads.put(partial(done.put, 2), threads=1)
    assert done.get(timeout=PATIENCE_SECONDS) == 2


def test_nothing_is_kept_of_a_job_that_is_done() -> None:
    threads = IdleThreads(NAME)
    job = partial(eventually, lambda: True)
    gone = weakref.ref(job)
    threads.put(job, threads=1)
    del job
    eventually(lambda: gone() is None)  # long before the thread ends
