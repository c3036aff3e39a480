"""Software is built on the mount: a C program with make, a Python package with an extension into a venv."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.mounted.mounting import MountedStore
from tests.mounted.programs import run

pytestmark = pytest.mark.mounted

PARTS = 20

MAKEFILE = """\
objects := $(patsubst src/%.c,build/%.o,$(wildcard src/*.c))

build/program: build/libparts.a build/main.o
\t$(CC) -o $@ build/main.o -Lbuild -lparts

build/libparts.a: $(filter-out build/main.o,$(objects))
\t$(AR) rcs $@ $^

build/%.o: src/%.c | build
\t$(CC) -Isrc -O1 -g -MMD -c -o $@ $<

build:
\tmkdir $@

-include $(objects:.o=.d)
"""


def write_c_project(root: Path) -> None:
    (root / "src").mkdir(parents=True)
    (root / "Makefile").write_text(MAKEFILE)
    for number in range(PARTS):
        (root / f"src/part{number}.h").write_text(f"#define STEP{number} {number}\nint part{number}(int);\n")
        (root / f"src/part{number}.c").write_text(
            f'#include "part{number}.h"\nint part{number}(int x) {{ return x + STEP{number}; }}\n'
        )
    headers = "".join(f'#include "part{number}.h"\n' for number in range(PARTS))
    calls = "".join(f"    x = part{number}(x);\n" for number in range(PARTS))
    (root / "src/main.c").write_text(
        f"#include <stdio.h>\n{headers}int main(void) {{\n    int x = 0;\n{calls}"
        '    printf("%d\\n", x);\n    return 0;\n}\n'
    )


def test_make_builds_a_c_program_and_then_only_what_changed(mounted: MountedStore) -> None:
    project = mounted.path / "project"
    write_c_project(project)
    make = ("make", "-j2", "-C", project)
    run(*make)
    assert run(project / "build/program") == f"{sum(range(PARTS))}\n"
    assert "up to date" in run(*make)

    mounted.remount()
    assert "up to date" in run(*make)
    (project / "src/part7.h").write_text("#define STEP7 1007\nint part7(int);\n")
    printed = run(*make)
    assert "src/part7.c" in printed
    assert "src/part8.c" not in printed
    assert run(project / "build/program") == f"{sum(range(PARTS)) + 1000}\n"


PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "sample"
version = "1.5"
scripts = { sample-says = "sample.words:say" }

[tool.setuptools]
packages = ["sample"]
package-data = { sample = ["data/*.txt"] }
ext-modules = [{ name = "sample.fast", sources = ["sample/fast.c"] }]
"""

EXTENSION = """\
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "fast", NULL, -1, methods};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&module); }
"""

WORDS = """\
from importlib.metadata import version
from importlib.resources import files
from sample.fast import answer

def say():
    print(answer(), version("sample"), len(files("sample").joinpath("data/word7.txt").read_text()))
"""


def write_python_project(root: Path) -> None:
    (root / "sample/data").mkdir(parents=True)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "sample/__init__.py").write_text("")
    (root / "sample/fast.c").write_text(EXTENSION)
    (root / "sample/words.py").write_text(WORDS)
    for number in range(100):
        (root / f"sample/data/word{number}.txt").write_text("word " * number)


def test_a_python_package_is_built_and_installed_into_a_venv(mounted: MountedStore) -> None:
    project, venv = mounted.path / "project", mounted.path / "venv"
    write_python_project(project)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    offline = ("--no-index", "--no-deps", "--no-cache-dir")
    # The build back end comes from the environment that runs the tests: nothing is fetched.
    wheels = mounted.path / "wheels"
    run(*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", wheels, project, cwd=project)
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    [wheel] = wheels.iterdir()
    run(*pip, "--python", venv / "bin/python", "install", *offline, "--compile", wheel)

    assert run(venv / "bin/sample-says") == "42 1.5 35\n"
    mounted.remount()
    assert run(venv / "bin/sample-says") == "42 1.5 35\n"
    # It can be moved away whole, and does not depend on what it was built from.
    os.rename(project, mounted.path / "elsewhere")
    shutil.rmtree(mounted.path / "elsewhere")
    assert run(venv / "bin/python", "-c", "import sample.words as w; w.say()") == "42 1.5 35\n"
