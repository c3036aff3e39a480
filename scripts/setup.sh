#!/usr/bin/env bash
# Brings a checkout on a Debian or Ubuntu machine to the point where its code runs: the packages of the
# distribution, the virtual environment .venv, the locked Python packages, and vfs itself (editable).
#
# Sourced by mount.sh, test.sh and .ci/run; run by itself (`setup.sh [run|dev]`) it only sets up.
# It never calls apt when nothing is missing, never installs a Python package whose hash is not in a lock
# file, and does nothing but compare checksums when all is in place already.
set -euo pipefail

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$checkout/.venv
setup_log=$checkout/.venv.log # what apt and pip said, for the case that one of them fails

# Foreign module folders would shadow the locked packages, during the set-up and after it. And where Python must
# not keep what it has compiled, each daemon and command compiles two hundred files anew, which takes as long again.
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
export PIP_USER=0 # a setting that many have; in a virtual environment pip refuses it

say() { printf '%s\n' "$*" >&2; }

die() {
    say "${0##*/}: $*"
    exit 1
}

# --- what is asked of the distribution ---------------------------------------------------------------

missing=() # names of Debian packages
lists_updated=false

# need PACKAGE COMMAND...: PACKAGE is missing unless COMMAND succeeds.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

# A compiler without the C library's headers is of no use, so one small program is really compiled.
compiles() { cc -x c -o /dev/null - <<<'#include <stdlib.h>
int main(void) { return EXIT_SUCCESS; }'; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# Sets `python` to an interpreter that can run vfs, if there is one.
look_for_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$python" >/dev/null && new_enough "$python"; then
            python=$(command -v "$python")
            return 0
        fi
    done
    return 1
}

find_python() {
    look_for_python && return
    if ! command -v python3 >/dev/null; then
        missing+=(python3)
        install_missing
        look_for_python && return
    fi
    die "Python 3.11 or newer is needed, this is $(python3 --version 2>&1); type: sudo apt-get install python3.11" \
        "(Debian has it from 12 on, Ubuntu from 22.04 on)"
}

need_for_mounting() { need fuse3 command -v fusermount3; }

# What the tests drive the mount with, beyond the programs that every Debian has.
need_for_testing() {
    need acl command -v getfacl
    need attr command -v getfattr
    need btrfs-progs command -v btrfs
    need e2fsprogs command -v chattr
    need fio command -v fio
    need gcc command -v cc
    need git command -v git
    need make command -v make
    need rsync command -v rsync
    need sqlite3 command -v sqlite3
    # Its tests become another user, and are left out where nobody can.
    ((EUID != 0)) || need postgresql has_postgresql
}

# Debian keeps the server's programs out of PATH, in a folder for each version.
has_postgresql() {
    compgen -G '/usr/lib/postgresql/*/bin/pg_amcheck' && compgen -G '/usr/lib/postgresql/*/bin/pgbench' &&
        compgen -G '/usr/share/postgresql/*/extension/amcheck.control'
}

# What is needed to make the environment and to compile pyfuse3 in it.
need_for_building() {
    local version
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    need pkg-config command -v pkg-config
    need libfuse3-dev pkg-config --exists fuse3
    need gcc compiles
    need "$version-venv" "$python" -c 'import ensurepip, venv'
    need "$version-dev" "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

# Installs the packages in `missing`, or says how.
install_missing() {
    ((${#missing[@]})) || return 0
    # A machine that has just started may be installing its own updates.
    local packages apt=(env DEBIAN_FRONTEND=noninteractive apt-get --quiet --option DPkg::Lock::Timeout=300)
    mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)
    command -v apt-get >/dev/null ||
        die "there is no apt-get here; install by hand what Debian calls ${packages[*]}"
    if ((EUID != 0)); then
        sudo_works || die "packages are missing that only root can install; type: $(by_hand "${packages[@]}")"
        apt=(sudo -n "${apt[@]}")
    fi
    say "installing ${packages[*]}"
    # One source that does not answer must not stop the others: what counts is that the packages are found.
    if ! $lists_updated; then
        update_lists || say "apt-get update had errors; going on with the lists that are here"
        lists_updated=true
    fi
    [[ " ${packages[*]} " != *' postgresql '* ]] || forbid_main_cluster
    logged "${apt[@]}" install --yes --no-install-recommends "${packages[@]}" || {
        allow_main_cluster
        die "apt-get install failed: $(last_error); all of it is in $setup_log"
    }
    allow_main_cluster
    missing=()
}

# apt waits for nobody who has the lists, so we do, five minutes at most.
update_lists() {
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        logged "${apt[@]}" update && return
        [[ $(last_error) == *lock*/apt/lists* ]] || return
        sleep 3
    done
    return 1
}

# Debian's server makes a cluster of databases as it is installed, and starts it now and at each boot. Nobody asked
# for that here. postgresql-common, which decides it, makes and starts nothing; so it comes first and by itself, and
# its setting is another one until the server is there. Left as it is by an interruption, it only means that.
cluster_settings=/etc/postgresql-common/createcluster.conf

forbid_main_cluster() {
    logged "${apt[@]}" install --yes --no-install-recommends postgresql-common ||
        die "apt-get install failed: $(last_error); all of it is in $setup_log"
    [[ -e $cluster_settings.before ]] || cp --preserve -- "$cluster_settings" "$cluster_settings.before"
    printf 'create_main_cluster = false\n' >>"$cluster_settings"
}

allow_main_cluster() {
    [[ ! -e $cluster_settings.before ]] || mv -- "$cluster_settings.before" "$cluster_settings"
}

sudo_works() { command -v sudo && sudo -n apt-get --version; } >/dev/null 2>&1

# The command that does what we may not do ourselves.
by_hand() {
    if command -v sudo >/dev/null; then
        printf '%s' "sudo apt-get update && sudo apt-get install --yes $*"
    else
        printf '%s' "su -c 'apt-get update && apt-get install --yes $*'"
    fi
}

logged() { "$@" </dev/null >>"$setup_log" 2>&1; }

last_error() { grep -iE '^ *(e:|error)' "$setup_log" | tail -n 1 | cut -c 1-300 || true; }

# --- the virtual environment -------------------------------------------------------------------------

# Three stamps tell what .venv holds. Each is written last and removed before anything changes, so an
# interrupted set-up is never taken for a finished one.
#   home: where the environment stands and its interpreter; another one means making it anew
#   run, dev: checksums of what was installed from

home_now() { printf '%s %s' "$venv" "$("$venv/bin/python" -c 'import sys; print(sys.version)' 2>&1)"; }

checksum_now() { # run | dev
    local locks=(requirements-build.lock requirements.lock)
    [[ $1 == run ]] || locks=(requirements-build.lock requirements-dev.lock)
    (cd -- "$checkout" && cat -- "${locks[@]}" pyproject.toml scripts/setup.sh) | sha256sum
}

stamped() { # STAMP WANTED
    [[ -f $venv/.stamp-$1 && $(<"$venv/.stamp-$1") == "$2" ]]
}

stamp() { # STAMP VALUE
    printf '%s\n' "$2" >"$venv/.stamp-$1.new"
    mv -- "$venv/.stamp-$1.new" "$venv/.stamp-$1"
}

ready() { # run | dev
    stamped home "$(home_now)" || return 1
    stamped "$1" "$(checksum_now "$1")" && return 0
    [[ $1 == run && -f $venv/.stamp-dev ]] && stamped dev "$(checksum_now dev)"
}

pip_install() {
    logged "$venv/bin/python" -m pip install --disable-pip-version-check --no-input "$@" ||
        die "pip install failed: $(last_error); all of it is in $setup_log"
}

# Build requirements come first and isolation is off: pip would fetch them by itself otherwise, unlocked.
build_venv() { # run | dev
    local lock=requirements.lock
    [[ $1 == run ]] || lock=requirements-dev.lock
    if ! stamped home "$(home_now)"; then
        say "making the virtual environment $venv"
        rm -f -- "$venv"/.stamp-*
        logged "$python" -m venv --clear "$venv" || die "cannot make $venv: see $setup_log"
    fi
    rm -f -- "$venv/.stamp-run" "$venv/.stamp-dev"
    say "installing the locked Python packages"
    cd -- "$checkout"
    pip_install --require-hashes -r requirements-build.lock
    pip_install --require-hashes --no-build-isolation -r "$lock"
    pip_install --no-deps --no-build-isolation --editable .
    stamp home "$(home_now)"
    stamp "$1" "$(checksum_now "$1")"
}

# set_up run | dev: returns when vfs (dev: and its tests) can run; ends the script with one line if it cannot.
set_up() {
    need_for_mounting
    [[ $1 == run ]] || need_for_testing
    if ((${#missing[@]} == 0)) && ready "$1"; then return; fi
    (set_up_locked "$1") # alone on its line: in a condition, bash would not stop it at the first error
}

# Runs in a subshell: the lock and the change of folder end with it, so nothing that is started later, a
# daemon above all, holds on to them.
set_up_locked() { # run | dev
    exec 9>>"$checkout/.venv.lock" || die "cannot write to $checkout"
    if ! flock --nonblock 9; then
        say "waiting for another set-up of $checkout to end"
        flock 9
        missing=()
        need_for_mounting
        [[ $1 == run ]] || need_for_testing
    fi
    : >"$setup_log"
    if ! ready "$1"; then
        find_python
        need_for_building
        install_missing
        build_venv "$1"
    else
        install_missing
    fi
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    case ${1-run} in
        run | dev) set_up "${1-run}" ;;
        *) die "usage: setup.sh [run|dev]" ;;
    esac
fi
