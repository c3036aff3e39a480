"""Decides which tests can run here: those marked `mounted` need a usable /dev/fuse.

Without one they are skipped with the reason; `--require-mounted` (what CI passes) turns every such skip, and
a run in which no test of the real mount passed, into a failure. Never decides by the name of a test or file.
Those marked `serial` run last, each while no other test runs in any worker (`-n 2`).
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.alone import Room

# How long one example takes says how busy the machine is; how long a test may take is pytest's business. The
# examples are the same in each run, and other ones in each with VFS_TESTS=long.
settings.register_profile(
    "vfs",
    deadline=None,
    derandomize=os.environ.get("VFS_TESTS") != "long",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("vfs")

# Each process that a test starts would compile everything anew, which takes longer than all else it does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Programs that a test interrupts heed that also where a shell runs the tests in its background, ignoring it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

CAP_SYS_ADMIN = 1 << 21

OF_THE_MOUNT = ("of the mount", True)

room = pytest.StashKey[Room]()
room_folder = pytest.StashKey[Path]()


def why_nothing_can_be_mounted() -> str | None:
    """The reason in one line, or None when this user can mount through /dev/fuse."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/fuse cannot be opened: {error.strerror}"
    fusermount = shutil.which("fusermount3")
    if fusermount is None:
        return "fusermount3 is not installed"
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    may_mount = int(status["CapEff"], 16) & CAP_SYS_ADMIN
    if not may_mount and not (os.geteuid() != 0 and os.stat(fusermount).st_mode & 0o4000):
        return "mounting is not permitted here: no CAP_SYS_ADMIN, and fusermount3 cannot lend it"
    return None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-mounted", action="store_true", help="fail where a test of the real mount is skipped"
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the one that people see; it also has the tests without workers
        config.stash[room_folder] = Path(tempfile.mkdtemp(prefix="vfs-tests-"))
        config.pluginmanager.register(MountedTests(config), "mounted tests")
    else:
        config.stash[room_folder] = Path(config.workerinput["room"])
    config.stash[room] = Room(config.stash[room_folder])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of pytest-xdist, for each worker that is to be started."""
    node.workerinput["room"] = str(node.config.stash[room_folder])


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[room].close()
    if not hasattr(config, "workerinput"):
        shutil.rmtree(config.stash[room_folder])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=is_serial)  # last, so that the workers wait for each other only once
    reason = why_nothing_can_be_mounted()
    if reason is not None:
        for item in items:
            if item.get_closest_marker("mounted"):
                item.add_marker(pytest.mark.skip(reason=reason))


def is_serial(item: pytest.Item) -> bool:
    """Whether nothing may run beside it."""
    return item.get_closest_marker("serial") is not None


# Around everything else, the time-out above all: waiting is no part of a test.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with item.config.stash[room].inside(alone=is_serial(item)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not item.get_closest_marker("mounted"):
        return report
    report.user_properties.append(OF_THE_MOUNT)  # what travels from a worker to who counts
    expected_to_fail = hasattr(report, "wasxfail")
    if report.skipped and not expected_to_fail and item.config.getoption("require_mounted"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"a test of the real mount must run here, and did not: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    # A module that skips itself has not said what it holds, so it counts as a test of the mount.
    if report.skipped and collector.config.getoption("require_mounted"):
        report.outcome = "failed"
        report.longrepr = f"no module may be skipped here: {report.longrepr}"
    return report


class MountedTests:
    """Counts those that passed, of all workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._required = config.getoption("require_mounted")
        self._passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed and OF_THE_MOUNT in map(tuple, report.user_properties):
            self._passed += 1

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._required and not self._passed and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter = session.config.pluginmanager.get_plugin("terminalreporter")
            if reporter is not None:
                reporter.write_line("")
                reporter.write_line("--require-mounted: no test of the real mount passed", red=True)
