"""Coverage-guided fuzzing of one target with atheris, for a while; what it finds goes into the corpus.

    make fuzz SECONDS=600 [TARGET=frames]     or, with atheris: python -m tests.fuzz.fuzz TARGET SECONDS

Inputs that reach new code are kept in tests/fuzz/corpus/TARGET (minimised at the end by merging); one that
fails is written there as crash-…, where the tests replay it. Never changes the code.
"""

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vfs"], enable_loader_override=False):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
LIMITS = ["-max_len=2048", "-rss_limit_mb=1024", "-timeout=20"]
"""Bytes of an input, memory of the process, and seconds for one input; what passes them is a failure."""


def fuzz(target: str, program: str, words: list[str]) -> None:
    """Hand the process over to libFuzzer, which ends it; where it needs another one it calls `program`."""
    atheris.Setup([program, *words], TARGETS[target])
    atheris.Fuzz()


def minimise(target: str, found: Path) -> None:
    """Keep, of what was found, the fewest inputs that reach all of it, beside seeds and failures."""
    kept = CORPUS / target
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder) / "merged"
        merged.mkdir()
        subprocess.run([*_command(target, "--merge"), str(merged), str(found), str(kept)], check=True)
        for path in kept.iterdir():
            if not path.name.startswith(("seed-", "crash-")):
                path.unlink()
        for path in merged.iterdir():
            shutil.copy(path, kept / path.name)


def _command(target: str, what: str) -> list[str]:
    return [sys.executable, "-m", "tests.fuzz.fuzz", target, what]


def _program(folder: str, target: str) -> str:
    """Something that can be called by its path alone."""
    program = Path(folder) / "fuzz"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(_command(target, "--call"))} "$@"\n')
    program.chmod(0o700)
    return str(program)


def main(target: str, what: str, *words: str) -> None:
    """Fuzz for so many seconds; the other ways are for processes that this one starts."""
    if what == "--call":
        fuzz(target, "fuzz", list(words))
    with tempfile.TemporaryDirectory() as folder:
        if what == "--merge":
            fuzz(target, _program(folder, target), ["-merge=1", *LIMITS, *words])
        elif words:
            fuzz(target, _program(folder, target), [*LIMITS, f"-max_total_time={what}", *words])
        else:
            kept = CORPUS / target
            places = [f"-artifact_prefix={kept}/", folder, str(kept)]
            code = subprocess.run([*_command(target, what), *places], check=False).returncode
            minimise(target, Path(folder))
            sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
