"""The whole core against a directory of the host: every operation, with reopen and kill between any two.

The short profile runs always and the same way; VFS_TESTS=long makes it random and much longer.
"""

import pytest
from hypothesis import HealthCheck, settings

from tests.model.machine import FileSystemMachine
from tests.model.world import LONG

pytestmark = pytest.mark.timeout(3600 if LONG else 600)  # a failure takes minutes to be made short

TestModel = FileSystemMachine.TestCase
TestModel.settings = settings(
    max_examples=2000 if LONG else 200,
    stateful_step_count=100 if LONG else 60,
    derandomize=not LONG,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
