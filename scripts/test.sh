#!/usr/bin/env bash
# Runs every test, from a bare machine: sets up what is missing, then pytest, which gets all arguments and
# whose exit code this is. Tests of the real mount are skipped with the reason where there is no /dev/fuse.
# Two run at a time (-n 0: one, in this process); those marked `serial` have the machine for themselves.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

set_up dev
cd -- "$checkout"
exec "$venv/bin/python" -m pytest -n 2 --dist worksteal "$@"
