#!/usr/bin/env bash
# Makes docs/tour-snapshots.md: what stands there between the paragraphs are the commands of this script, and
# what they printed. It works in a temporary folder, needs the set-up of setup.sh and git, and ends with an
# error when a command does something else than the text says.
#
#   scripts/tour.sh > docs/tour-snapshots.md      PACKAGES=n: of node_modules, 50 files each (200)
set -euo pipefail

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
PATH=$checkout/.venv/bin:$PATH
packages=${PACKAGES:-200}
export GIT_CONFIG_GLOBAL=/dev/null LC_ALL=C
TIMEFORMAT='%1R s'

folder=$(mktemp -d "${TMPDIR:-/tmp}/vfs-tour-XXXXXX")
cd "$folder"
leave() {
    cd /
    fusermount3 -u -z -q -- "$folder/work" || true
    rm -rf -- "$folder"
}
trap leave EXIT

say() { cat; }

blocks_open=0
block() {
    printf '\n```\n'
    blocks_open=1
}
end() {
    printf '```\n'
    blocks_open=0
}

# Shows a command, runs it, and shows what it printed.
run() {
    printf '$ %s\n' "$1"
    local status=0
    eval "$1" >"$folder/printed" 2>&1 || status=$?
    sed "s,$folder,/srv,g" "$folder/printed"
    return $status
}

run_quietly() { (eval "$1") 2>&1; }

# The same for one that must fail.
fails() {
    printf '$ %s\n' "$1"
    if run_quietly "$1"; then
        printf 'this did not fail: %s\n' "$1" >&2
        return 1
    fi
}

expect() { # TEXT COMMAND: it must print that somewhere
    if [[ $(eval "$2" 2>&1) != *"$1"* ]]; then
        printf 'not what the text says: %s\n' "$2" >&2
        return 1
    fi
}

# --- the working tree ------------------------------------------------------------------------------

make_project() { # FOLDER
    mkdir -p "$1"/src "$1"/test "$1"/notes
    cat >"$1/src/slug.sh" <<'END'
# Makes a title fit for an address: "Hello, World" -> "hello-world".
slug() {
    printf '%s' "$1" | tr ' ' '-'
}
END
    cat >"$1/test/run.sh" <<'END'
. src/slug.sh
passed=0
check() { if [ "$(slug "$1")" = "$2" ]; then passed=$((passed + 1)); else echo "  slug '$1': $(slug "$1"), not $2"; fi; }
check 'one two' one-two
check 'Hello, World' hello-world
check '  C++  and   C# ' c-and-c
echo "$passed of 3 passed"
END
    printf 'timeout = 30\nretries = 3\n' >"$1/settings.ini"
    printf 'node_modules/\n' >"$1/.gitignore"
    git -C "$1" init -q -b main
    git -C "$1" -c user.name=me -c user.email=me@example.org add -A
    git -C "$1" -c user.name=me -c user.email=me@example.org commit -q -m 'A beginning'
    printf 'Ask Kim about umlauts.\n' >"$1/notes/ideas.md"
    printf 'They time out on Mondays.\n' >"$1/notes/customers.md"
    local number
    for ((number = 0; number < packages; number++)); do
        local package=$1/node_modules/package-$number
        mkdir -p "$package/lib"
        printf '{"name": "package-%d", "version": "1.%d.0"}\n' "$number" "$number" >"$package/package.json"
        local file
        for ((file = 0; file < 49; file++)); do
            printf 'module.exports = { number: %d, timeout: %d };\n' "$file" "$number" >"$package/lib/$file.js"
        done
    done
}

make_project project
mkdir work
vfs mkfs store >/dev/null
vfs mount store work >/dev/null
cp -a project work/project

# --- the tour ----------------------------------------------------------------------------------------

say <<'END'
# A tour of snapshots

An agent is let loose on a working tree, wrecks it, and costs some seconds; then three of them try three ways at once, and the best one is
kept. All commands and their output are real: `scripts/tour.sh` made this page, on a virtual machine with two CPUs.

## A tree that git does not know

`work` is a mount of a store (`vfs mkfs store && vfs mount store work`). In it lies a project with what projects have: some files that git
keeps, a folder with notes that nobody added, and `node_modules`, which git is told to ignore.
END
block
run 'ls -A work/project'
run 'git -C work/project status --short'
run 'find work/project/node_modules -type f | wc -l'
end
expect '?? notes/' 'git -C work/project status --short'

say <<'END'

Before the agent begins, all of it is frozen. That takes the same time for a hundred files as for a million, most of it to start the
program:
END
block
run 'time vfs snapshot create work before --comment "before the agent"'
end

say <<'END'

## It goes wrong

The agent was asked to rename a setting, and to tidy up.
END
block
run 'cd work/project'
run "grep -rlZ timeout . --exclude-dir=.git | xargs -0 sed -i 's/timeout/time_limit/g'"
run 'git clean -fdq'
run 'chmod 600 src/slug.sh'
run 'cd ../..'
end

say <<'END'

`sed -i` went through `node_modules` too, and `git clean` took the notes. Git sees next to nothing of that:
END
block
run 'git -C work/project status --short'
end
expect 'M settings.ini' 'git -C work/project status --short'

say <<'END'

## What happened

`vfs diff` compares what is now with the snapshot. Its time grows with what was changed, not with what there is.
END
block
run 'time vfs diff work before --stat'
run 'vfs diff work before | grep -v /node_modules/'
run 'vfs diff work before | grep /node_modules/ | sed -n 1,3p'
run 'vfs diff work before | grep -c /node_modules/'
end
expect '- project/notes/ideas.md' 'vfs diff work before'
expect 'M project/src/slug.sh (mode)' 'vfs diff work before'

say <<'END'

The snapshot itself is a folder that one can look into; it is not listed, so that `find` and `rsync` do not walk into it:
END
block
run 'cat work/.snapshots/before/project/notes/ideas.md'
run 'grep time work/.snapshots/before/project/settings.ini work/project/settings.ini'
fails 'touch work/.snapshots/before/project/notes/more.md'
end

say <<'END'

One file or folder could be brought back by itself (`vfs restore work before /project/notes`). Here all of it is to be.

## Back
END
block
run 'time vfs rollback work before'
run 'vfs diff work before'
run 'cat work/project/notes/ideas.md'
run 'git -C work/project status --short'
end
expect '?? notes/' 'git -C work/project status --short'

say <<'END'

The mount was in use all the while, and nothing was unmounted. What the agent left is kept as a snapshot of its own, in case there is something
good in it:
END
block
run 'vfs snapshot list work'
end

say <<'END'

## Three ways at once

A better use of three agents: each one gets a clone of the project, which costs nothing until something is written. They are ordinary folders in the same mount.
END
block
run 'for n in 1 2 3; do vfs clone work before:project /try-$n; done'
run 'ls work'
run 'ls -A work/try-2'
end
expect 'try-3' 'ls work'

try() { # NUMBER: what each one writes
    local body
    case $1 in
        1) body="tr 'A-Z ' 'a-z-'" ;;
        2) body="tr 'A-Z' 'a-z' | tr -cs 'a-z0-9' '-' | sed 's/^-//; s/-\$//'" ;;
        3) body="tr -d ',' | tr 'A-Z ' 'a-z-'" ;;
    esac
    sed -i "s@tr ' ' '-'@$body@" "work/try-$1/src/slug.sh"
}

say <<'END'

Each goes its own way in `src/slug.sh`. The first one also loses a package of `node_modules`, the third one leaves a log.
END
for n in 1 2 3; do try $n; done
printf 'tried\n' >work/try-3/log.txt
rm -r work/try-1/node_modules/package-0
block
run 'for n in 1 2 3; do echo "try $n:"; (cd work/try-$n && sh test/run.sh); done'
run 'vfs diff work before:project /try-1 --stat | grep -v bytes'
run 'vfs diff work before:project /try-2'
run 'vfs diff work /try-2 /try-3'
end
expect 'M src/slug.sh (content)' 'vfs diff work before:project /try-2'
expect '3 of 3 passed' '(cd work/try-2 && sh test/run.sh)'

say <<'END'

The second one passes, and has changed nothing else. It is kept; the clones go with one command each (`rm -rf` would do as well).
END
block
run 'vfs copy --force work/try-2/src/slug.sh work/project/src/slug.sh'
run 'for n in 1 2 3; do vfs clone --delete work /try-$n; done'
run 'vfs diff work before'
run 'git -C work/project diff --stat'
run 'vfs snapshot delete work before'
end
expect 'M src/slug.sh' 'git -C work/project status --short'

say <<'END'

What only deleted snapshots and clones held is given back in the background, or at once by `vfs gc work`.
END
vfs umount work >/dev/null
((blocks_open == 0))
