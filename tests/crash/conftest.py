"""Puts every crash test into the same small surroundings."""

import pytest

from tests.crash.surroundings import impose


@pytest.fixture(autouse=True)
def _small_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    impose(monkeypatch)
