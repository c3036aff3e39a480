#!/usr/bin/env bash
# Mounts a store from a bare machine: sets up what is missing, creates the store if it does not exist, mounts
# it in the background, and returns when the mount answers. Run again it only mounts, also where a daemon has
# died; run on a mount of the same store it changes nothing. It never creates a store in a folder that holds anything.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

usage='usage: mount.sh STORE MOUNTPOINT [-o OPTIONS] [--supervise]'

paths=()
options=()
while (($#)); do
    case $1 in
        -o)
            (($# > 1)) || die "-o needs options; $usage"
            options+=(-o "$2")
            shift
            ;;
        --supervise) options+=(--supervise) ;;
        -o?*) options+=(-o "${1#-o}") ;;
        -h | --help)
            printf '%s\n' "$usage"
            exit 0
            ;;
        --)
            shift
            paths+=("$@")
            break
            ;;
        -*) die "unknown option $1; $usage" ;;
        '') die "an empty path; $usage" ;;
        *) paths+=("$1") ;;
    esac
    shift
done
((${#paths[@]} == 2)) || die "$usage"

[[ ${paths[0]} == /* ]] || paths[0]=$PWD/${paths[0]}
[[ ${paths[1]} == /* ]] || paths[1]=$PWD/${paths[1]}
store=${paths[0]}
mountpoint=${paths[1]}

how_to_unmount() { printf 'unmount with: %q umount %q\n' "$venv/bin/vfs" "$mountpoint"; }

# A mount whose daemon died answers ENOTCONN, but to `stat` maybe with what the kernel remembers; `stat -f` always
# asks the daemon. `vfs mount` clears it.
is_dead_mount() { [[ $(LC_ALL=C timeout 10 stat -f -- "$mountpoint" 2>&1) == *'endpoint is not connected'* ]]; }

is_mount_of_store() {
    mountpoint -q -- "$mountpoint" && ! is_dead_mount || return 1
    "$venv/bin/vfs" info --json "$mountpoint" 2>/dev/null | "$venv/bin/python" -c '
import json, os, sys
info = json.load(sys.stdin)
sys.exit(info["pid"] is None or not os.path.samefile(info["store"], sys.argv[1]))' "$store" 2>/dev/null
}

is_absent_or_empty() { [[ ! -e $1 && ! -L $1 ]] || [[ -d $1 && -z $(ls -A -- "$1" 2>&1) ]]; }

set_up run

parent=$(dirname -- "$store")
[[ -d $parent ]] || die "the folder $parent does not exist; create it first, or name another STORE"

# Two runs for one new store at the same moment: the second waits here and finds it mounted. Where the folder
# cannot be locked (not readable, on a network) the loser of such a race gets an error, and no harm is done.
# The lock is closed for what we start: a daemon would hold it for ever.
if { exec 8<"$parent"; } 2>/dev/null; then flock --timeout 60 8 2>/dev/null || true; fi

if is_mount_of_store; then
    printf '%s is mounted at %s already\n' "$store" "$mountpoint"
    how_to_unmount
    exit 0
fi
if is_absent_or_empty "$store"; then "$venv/bin/vfs" mkfs "$store" 8<&-; fi
if [[ ! -e $mountpoint && ! -L $mountpoint ]] && ! is_dead_mount; then
    say "creating the mount point $mountpoint"
    mkdir -p -- "$mountpoint" || exit 1
fi
# Its own line names a `vfs` that is on nobody's PATH here; ours names it in full.
mounted=$("$venv/bin/vfs" mount "$store" "$mountpoint" ${options[@]+"${options[@]}"} 8<&-)
printf '%s\n' "${mounted%%; unmount with: *}"
how_to_unmount
