"""The whole core against a directory of the host: every operation, with reopen and kill between any two.

The short profile runs always and the same way; VFS_TESTS=long makes it random and much longer.
"""

import os

from hypothesis import HealthCheck, settings

from tests.model.attribute_rules import AttributeRules
from tests.model.content_rules import ContentRules
from tests.model.life_rules import LifeRules
from tests.model.name_rules import NameRules

LONG = os.environ.get("VFS_TESTS") == "long"


class FileSystemMachine(NameRules, ContentRules, AttributeRules, LifeRules):
    """All steps together."""


TestModel = FileSystemMachine.TestCase
TestModel.settings = settings(
    max_examples=2000 if LONG else 150,
    stateful_step_count=120 if LONG else 60,
    derandomize=not LONG,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
