"""Coverage-guided fuzzing of one target with atheris, for a while; what it finds goes into the corpus.

    make fuzz SECONDS=600 [TARGET=frames]     or, with atheris: python -m tests.fuzz.fuzz TARGET SECONDS

Inputs that reach new code are kept in tests/fuzz/corpus/TARGET (minimised at the end by merging); one that
fails is written there as crash-…, where the tests replay it. Never changes the code.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["vfs"], enable_loader_override=False):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
LONGEST_BYTES = 2048
MEMORY_MB = 1024
ONE_INPUT_SECONDS = 20


def fuzz(target: str, words: list[str]) -> None:
    """Hand the process over to libFuzzer, which ends it."""
    atheris.Setup(["fuzz", *words], TARGETS[target])
    atheris.Fuzz()


def minimise(target: str, found: Path) -> None:
    """Keep, of what was found, the fewest inputs that reach all of it, beside the seeds."""
    kept = CORPUS / target
    seeds = {path.name: path.read_bytes() for path in kept.glob("seed-*")}
    crashes = {path.name: path.read_bytes() for path in kept.glob("crash-*")}
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder) / "merged"
        merged.mkdir()
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.fuzz",
            target,
            "--merge",
            str(merged),
            str(kept),
            str(found),
        ]
        subprocess.run(command, check=True)
        shutil.rmtree(kept)
        shutil.copytree(merged, kept)
    for name, data in (seeds | crashes).items():
        (kept / name).write_bytes(data)


def main(target: str, seconds: str, *folders: str) -> None:
    """Fuzz for so many seconds, or merge."""
    limits = [f"-max_len={LONGEST_BYTES}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={ONE_INPUT_SECONDS}"]
    if seconds == "--merge":
        fuzz(target, ["-merge=1", *limits, *folders])
    elif folders:  # in the child process
        fuzz(
            target, [*limits, f"-max_total_time={seconds}", f"-artifact_prefix={CORPUS / target}/", *folders]
        )
    else:
        with tempfile.TemporaryDirectory() as found:
            command = [sys.executable, "-m", "tests.fuzz.fuzz", target, seconds, found, str(CORPUS / target)]
            code = subprocess.run([*command], check=False).returncode
            minimise(target, Path(found))
        sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
