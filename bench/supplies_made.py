"""Material in small, made here from nothing, for a quick look at whether every chain works.

Promises to need no network. It says nothing about speed.
"""

import functools
import io
import json
import tarfile
import zipfile
from pathlib import Path

from bench import material
from bench.programs import run
from bench.supplies import Maker, Supplies
from bench.supplies_fetched import make_archive, make_repository

EDITION = "made"
PACKAGES = 3
MODULES = 8
MODULE_BYTES = 2000

CONFIGURE = """#!/bin/sh
for option; do echo "# $option"; done > Makefile
cat >> Makefile <<'END'
objects = main.o part.o
program: $(objects)
\tcc -o $@ $(objects)
%.o: %.c
\tcc -c -o $@ $<
END
"""
C_FILES = {
    "main.c": "int part(void);\nint main(void) { return part(); }\n",
    "part.c": "int part(void) { return 0; }\n",
}


@functools.cache
def _text() -> bytes:
    return material.text_base(PACKAGES * MODULES * MODULE_BYTES, 0)


def _module(package: int, number: int) -> bytes:
    begin = (package * MODULES + number) * MODULE_BYTES
    return b"import this\n" + _text()[begin : begin + MODULE_BYTES]


def _wheels(_: Supplies, folder: Path) -> None:
    for package in range(PACKAGES):
        name = f"package{package}"
        facts = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            for number in range(MODULES):
                wheel.writestr(f"{name}/module{number}.py", _module(package, number))
            wheel.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{facts}/RECORD", "")
            wheel.writestr(f"{name}/_vendor/inside-1.0.dist-info/METADATA", "")


def _sources(_: Supplies, folder: Path) -> None:
    for package in range(PACKAGES):
        (folder / f"package{package}").mkdir()
        for number in range(MODULES):
            (folder / f"package{package}" / f"module{number}.py").write_bytes(_module(package, number))


def _c_project(_: Supplies, folder: Path) -> None:
    with tarfile.open(folder / "project.tar.gz", "w:gz") as archive:
        for name, text in {"configure": CONFIGURE, **C_FILES}.items():
            entry = tarfile.TarInfo(f"project/{name}")
            entry.size, entry.mode = len(text), 0o755 if name == "configure" else 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))


def _npm(_: Supplies, folder: Path) -> None:
    """Packages that lie in a file beside; npm unpacks those as any other."""
    with tarfile.open(folder / "small.tgz", "w:gz") as archive:
        for name, text in {
            "package.json": '{"name": "small", "version": "1.0.0"}',
            "index.js": "0\n",
        }.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    facts = {"name": "tree", "version": "1.0.0", "dependencies": {"small": "file:small.tgz"}}
    (folder / "package.json").write_text(json.dumps(facts))
    run(["npm", "install", "--package-lock-only", "--offline", "--cache", str(folder / "cache")], folder)


MAKERS: dict[str, Maker] = {
    "wheels": _wheels,
    "c-project": _c_project,
    "npm": _npm,
    "sources": _sources,
    "repository": make_repository,
    "archive": make_archive,
}
