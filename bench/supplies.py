"""What the chains work on: wheels, sources, a repository, an archive, a C project, a tree of npm.

Promises that a supply is whole once its folder has its name, so that what was cut short is made anew; what is
fetched stays outside of the checkout and is fetched once. It never fetches anything but with pip and npm.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path


class SupplyFailed(Exception):
    """Something could not be fetched or made; the text says what to do."""


Maker = Callable[["Supplies", Path], None]
"""Makes a supply in an empty folder, out of other supplies."""


def default_folder() -> Path:
    """Below the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "vfs-bench"


class Supplies:
    """Supplies in folders of their own below one folder, made when they are asked for the first time."""

    def __init__(
        self, folder: Path, makers: Mapping[str, Maker], edition: str, say: Callable[[str], None]
    ) -> None:
        self._folder, self._makers, self._say = folder, makers, say
        # Another edition of what is to be fetched never meets the folders of this one.
        self._edition = hashlib.sha256(edition.encode()).hexdigest()[:8]

    def folder(self, name: str) -> Path:
        """Of a supply, made or fetched if it is not there. SupplyFailed."""
        folder = self._folder / f"{name}-{self._edition}"
        if not folder.exists():
            self._make(name, folder)
        return folder

    def _make(self, name: str, folder: Path) -> None:
        self._say(f"making the material {folder}")
        draft = folder.with_name(f"{folder.name}.{os.getpid()}")
        try:
            draft.mkdir(parents=True)
            self._makers[name](self, draft)
            draft.rename(folder)
        except OSError as error:
            if not folder.exists():  # else another run was quicker
                raise SupplyFailed(f"cannot make the material {folder}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def only(self, name: str) -> Path:
        """The one file or folder that the supply consists of."""
        (path,) = self.folder(name).iterdir()
        return path

    def files(self, name: str) -> int:
        """How many files it has."""
        return sum(len(names) for _, _, names in os.walk(self.folder(name)))
