"""Material as it is out there: wheels and a C project from PyPI, packages from npm, and what is made of them.

Promises the same versions every time. Whoever has no network gets one line that says so; nothing of it ever
enters the checkout.
"""

import json
import re
import sys
import zipfile
from pathlib import Path

from bench.programs import ProgramFailed, run
from bench.supplies import Maker, Supplies, SupplyFailed

SOURCE_WHEELS = (
    "docutils==0.21.2",
    "matplotlib==3.9.3",
    "mypy==1.13.0",
    "networkx==3.4.2",
    "numpy==2.1.3",
    "pygments==2.18.0",
    "scipy==1.14.1",
    "setuptools==75.6.0",
    "sphinx==8.1.3",
    "sympy==1.13.3",
)
"""What of them is not compiled is also the sources that the repository and the archive hold: 7,600 files, ten
to a folder. (That is as in git or CPython; Django has fewer than three, and a listing for each folder.)"""

OTHER_WHEELS = ("babel==2.16.0", "django==5.1.4")
COMPILED = re.compile(r"\.so(\.[0-9.]+)?$")

C_PROJECT = "pynacl==1.5.0"
"""Its source distribution has all of libsodium: 580 files, with configure."""

NPM_PACKAGES = {
    "date-fns": "4.1.0",
    "eslint": "9.16.0",
    "lodash": "4.17.21",
    "rxjs": "7.8.1",
    "typescript": "5.7.2",
    "webpack": "5.97.1",
}
"""13,800 files in node_modules."""

EDITION = json.dumps([SOURCE_WHEELS, OTHER_WHEELS, C_PROJECT, NPM_PACKAGES, sys.version_info[:2]])
NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def _fetch(what: str, commands: list[list[str]], folder: Path) -> None:
    try:
        for command in commands:
            run(command, folder)
    except ProgramFailed as error:
        hint = "the network is needed once, or a folder that has it, with --material"
        raise SupplyFailed(f"cannot fetch {what} ({hint}): {error}") from error


def _download(*arguments: str) -> list[str]:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    return [*pip, "--no-deps", *arguments]


def _wheels(_: Supplies, folder: Path) -> None:
    command = _download("--only-binary", ":all:", *SOURCE_WHEELS, *OTHER_WHEELS)
    _fetch("the wheels from PyPI", [command], folder)


def _c_project(_: Supplies, folder: Path) -> None:
    command = _download("--no-binary", ":all:", "--no-build-isolation", C_PROJECT)
    _fetch(f"{C_PROJECT} from PyPI", [command], folder)


def _npm(_: Supplies, folder: Path) -> None:
    (folder / "package.json").write_text(
        json.dumps({"name": "tree", "version": "1.0.0", "private": True, "dependencies": NPM_PACKAGES})
    )
    lock = ["npm", "install", "--package-lock-only", *NPM[2:], "--cache", "cache"]
    # Run twice: a first run may leave a package out of its cache that it had at hand otherwise.
    install = [*NPM, "--prefer-offline", "--cache", "cache"]
    _fetch("the packages from npm", [lock, install, install, ["rm", "-rf", "node_modules"]], folder)


def _sources(supplies: Supplies, folder: Path) -> None:
    names = {wheel.split("==")[0] for wheel in SOURCE_WHEELS}
    for path in sorted(supplies.folder("wheels").glob("*.whl")):
        if path.name.split("-")[0].lower() in names:
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(folder, [name for name in wheel.namelist() if not COMPILED.search(name)])


# -- made of sources, of whatever kind -----------------------------------------------------------


def make_repository(supplies: Supplies, folder: Path) -> None:
    """A bare repository, packed, with one commit of the sources."""
    bare, sources = str(folder / "repository.git"), str(supplies.folder("sources"))
    author = {f"GIT_{who}_{what}": "bench" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    run(["git", "init", "--quiet", "--bare", "--initial-branch=main", bare], folder)
    for command in (("add", "--all", "--force"), ("commit", "--quiet", "--message=sources")):
        run(["git", "--git-dir", bare, "--work-tree", sources, *command], folder, environment=author)
    (folder / "repository.git" / "index").unlink()
    run(["git", "--git-dir", bare, "gc", "--quiet"], folder)


def make_archive(supplies: Supplies, folder: Path) -> None:
    """A tar file of the sources."""
    run(["tar", "cf", str(folder / "sources.tar"), "-C", str(supplies.folder("sources")), "."], folder)


MAKERS: dict[str, Maker] = {
    "wheels": _wheels,
    "c-project": _c_project,
    "npm": _npm,
    "sources": _sources,
    "repository": make_repository,
    "archive": make_archive,
}
