"""Replays the corpus of the fuzzer, without atheris: seeds, inputs that reached new code, past failures."""

import resource
import time
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
CORPUS_BYTES = 400_000
SECONDS = 20.0
MEMORY_KIB = 300 * 1024


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_is_right_or_a_typed_error(target: str) -> None:
    inputs = sorted((CORPUS / target).iterdir())
    assert inputs, "there is a corpus"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in inputs:
        began = time.process_time()
        try:
            TARGETS[target](path.read_bytes())
        except BaseException as error:
            error.add_note(f"the input is {path}")
            raise
        assert time.process_time() - began < SECONDS, path
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_KIB


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < CORPUS_BYTES
