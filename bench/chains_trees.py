"""Chains on trees of files: git, find and grep, archives, a build, pip and npm, rsync, rm.

Promises that each step looks whether the program did what it should. It never measures time.
"""

import shutil
import sys
from pathlib import Path

from bench.chains import Chain, Scene, Step, at_most
from bench.programs import ProgramFailed, run

FLOOR_BUDGET = 0.75
UNPACKING = {"host": at_most(4), "floor": FLOOR_BUDGET}
"""What clone, untar, pip and npm have to reach."""
LIKE_THE_HOST = {"host": at_most(1.5)}
CREATING = {"floor": FLOOR_BUDGET}
"""The budget of create, unlink and look-up."""

BUILD_CORES = 2
PACKAGE_FOLDERS = ("site-packages", "dist-packages")
PIP = (sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check")
NPM_OFFLINE = ("--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise ProgramFailed(f"{what}: {found} instead of {wanted}")


def _remove(scene: Scene) -> None:
    run(["rm", "-rf", "tree"], scene.folder)


# -- a repository --------------------------------------------------------------------------------


def _clone(scene: Scene) -> None:
    run(["git", "clone", "--quiet", f"file://{scene.supplies.only('repository')}", "tree"], scene.folder)


def _status(scene: Scene) -> None:
    _expect("git status", run(["git", "status", "--porcelain"], scene / "tree"), "")


def _find(scene: Scene) -> None:
    found = run(
        ["find", ".", "-name", ".git", "-prune", "-o", "-type", "f", "-printf", "%s\n"], scene / "tree"
    )
    _expect("files found", found.count("\n"), scene.supplies.files("sources"))


def _grep(scene: Scene) -> None:
    run(["grep", "-rlw", "--exclude-dir=.git", "import", "."], scene / "tree")


REPOSITORY = Chain(
    "repository",
    (
        Step("git clone", _clone, UNPACKING),
        Step("git status, warm", _status, LIKE_THE_HOST, repeated=True),
        Step("find, warm", _find, repeated=True),
        Step("grep -r, warm", _grep, repeated=True),
        Step("git status, cold", _status, cold=True),
        Step("find, cold", _find, CREATING, cold=True),
        Step("grep -r, cold", _grep, cold=True),
        Step("rm -rf of the clone", _remove, CREATING),
    ),
    programs=("git",),
    supplies=("repository", "sources"),
)


# -- an archive, a build -------------------------------------------------------------------------


def _untar(scene: Scene) -> None:
    (scene / "tree").mkdir()
    run(["tar", "xf", str(scene.supplies.only("archive")), "-C", "tree"], scene.folder)


ARCHIVE = Chain(
    "archive",
    (Step("untar", _untar, UNPACKING), Step("rm -rf of the archive", _remove, CREATING)),
    supplies=("archive",),
)


def _untar_project(scene: Scene) -> None:
    (scene / "tree").mkdir()
    archive = scene.supplies.only("c-project")
    run(["tar", "xzf", str(archive), "--strip-components=1", "-C", "tree"], scene.folder)


def _project(scene: Scene) -> Path:
    """Where its configure is."""
    return next((scene / "tree").rglob("configure")).parent


def _configure(scene: Scene) -> None:
    options = ("--quiet", "--enable-minimal", "--disable-static", "--disable-dependency-tracking")
    run(["./configure", *options], _project(scene), environment={"CFLAGS": "-O0 -g"})


def _make(scene: Scene) -> None:
    run(["make", "--silent", f"-j{BUILD_CORES}"], _project(scene))


BUILD = Chain(
    "build",
    (
        Step("untar of a C project", _untar_project, UNPACKING),
        Step("configure", _configure, LIKE_THE_HOST),
        Step("make", _make, LIKE_THE_HOST),
    ),
    programs=("cc", "make"),
    supplies=("c-project",),
)


# -- packages ------------------------------------------------------------------------------------


def _pip_install(scene: Scene) -> None:
    wheels = scene.supplies.folder("wheels")
    files = [str(path) for path in sorted(wheels.glob("*.whl"))]
    options = ("--no-index", "--no-deps", "--no-compile", "--ignore-installed", "--no-warn-script-location")
    run(
        [*PIP, "install", *options, "--root-user-action=ignore", "--prefix", str(scene / "tree"), *files],
        wheels,
    )
    # Some packages carry others inside, with all that belongs to those.
    installed = [
        path for path in (scene / "tree").rglob("*.dist-info") if path.parent.name in PACKAGE_FOLDERS
    ]
    _expect("packages", len(installed), len(files))


PIP_INSTALL = Chain(
    "pip",
    (Step("pip install", _pip_install, UNPACKING), Step("rm -rf of the packages", _remove, CREATING)),
    supplies=("wheels",),
)


def _npm_ci(scene: Scene) -> None:
    source, tree = scene.supplies.folder("npm"), scene / "tree"
    tree.mkdir()
    for path in source.iterdir():
        if path.is_file():
            shutil.copy(path, tree)
    run(["npm", "ci", *NPM_OFFLINE, "--cache", str(source / "cache")], tree)


NPM_CI = Chain(
    "npm",
    (Step("npm ci", _npm_ci, UNPACKING), Step("rm -rf of node_modules", _remove, CREATING)),
    programs=("npm",),
    supplies=("npm",),
)


# -- rsync ---------------------------------------------------------------------------------------


def _rsync(scene: Scene) -> str:
    source = scene.supplies.folder("sources")
    return run(["rsync", "-a", "--out-format=%n", f"{source}/", "tree/"], scene.folder)


def _rsync_first(scene: Scene) -> None:
    copied = [name for name in _rsync(scene).splitlines() if not name.endswith("/")]
    _expect("files copied", len(copied), scene.supplies.files("sources"))


def _rsync_again(scene: Scene) -> None:
    _expect("copied again", _rsync(scene), "")


RSYNC = Chain(
    "rsync",
    (
        Step("rsync, first", _rsync_first, CREATING),
        Step("rsync, again", _rsync_again, repeated=True),
    ),
    programs=("rsync",),
    supplies=("sources",),
)
