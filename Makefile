# Every target works from a fresh checkout: `setup` makes .venv and installs the locked packages first, and
# costs a few hundredths of a second when that is done already.

BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE # it would have each process that a test starts compile everything anew
PYTHON_FILES := $(wildcard vfs tests bench)

.PHONY: help setup check format format-check lint types test crash repair stress stressors kill fuzz bench performance lock
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv and install everything, from the lock files
	@scripts/setup.sh dev

check: format-check lint types test ## everything that a change must pass

format: setup ## write every file in the one format, imports sorted
	$(BIN)/ruff format $(PYTHON_FILES)
	$(BIN)/ruff check --select I --fix $(PYTHON_FILES)

format-check: setup ## fail when `make format` would change a file
	$(BIN)/ruff format --check --diff $(PYTHON_FILES)

lint: setup ## ruff, with its rules for asynchronous code
	$(BIN)/ruff check $(PYTHON_FILES)

types: setup ## mypy, strict
	$(BIN)/mypy

test: setup ## every test, two at a time; ARGS='-k name' goes to pytest
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

crash: setup ## crash tests at every call to the disk, and 20 simulated lives, for each of SEEDS=20 seeds from FIRST=0 on; ARGS go to pytest
	VFS_CRASH_SEEDS=$(or $(SEEDS),20) VFS_CRASH_FIRST_SEED=$(or $(FIRST),0) \
		$(BIN)/python -m pytest tests/simulation tests/crash --timeout 600 -rP $(ARGS)

stress: setup ## a crowd of processes for SECONDS=180 beside packing and gc, and kills; SEED=1; ARGS go to pytest
	VFS_STRESS_SECONDS=$(or $(SECONDS),180) VFS_STRESS_SEED=$(or $(SEED),1) \
		$(BIN)/python -m pytest tests/mounted/test_crowd.py -rP $(ARGS)

stressors: setup ## stress-ng's file system stressors on a mount, SECONDS=5 each; ARGS go to pytest
	@command -v stress-ng >/dev/null || { echo "stress-ng is not installed; install it with: apt install stress-ng"; exit 1; }
	VFS_STRESSOR_SECONDS=$(or $(SECONDS),5) $(BIN)/python -m pytest tests/mounted/stressors.py -rP $(ARGS)

kill: setup ## kill -9 of the daemon under fio, git, SQLite and PostgreSQL, ROUNDS=20 times each (SEED=first)
	VFS_KILL_ROUNDS=$(or $(ROUNDS),20) VFS_KILL_SEED=$(or $(SEED),0) $(BIN)/python -m pytest \
		tests/mounted/test_kill*.py --timeout 7200 -rP $(ARGS)

repair: setup ## repairs after random damage, of SEEDS=200 kinds; ARGS go to pytest
	VFS_REPAIR_SEEDS=$(or $(SEEDS),200) $(BIN)/python -m pytest tests/repair/test_random_damage.py -rP $(ARGS)

fuzz: setup ## coverage-guided fuzzing, SECONDS=60 for each target or for TARGET=frames alone; keeps what it finds
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	@for target in $(or $(TARGET),superblock frames records maps packs blocks clones trees); do \
		$(BIN)/python -m tests.fuzz.fuzz $$target $(or $(SECONDS),60) || exit 1; done

bench: setup ## the workloads against the floor and the host; ARGS go to the bench (`python -m bench --help` lists its groups)
	$(BIN)/python -m bench $(ARGS)

# Half an hour on a machine that does nothing else; a goal that is missed (exit code 3) ends nothing.
performance: setup ## all groups of docs/performance.md, one after the other, also into bench/results/performance.md
	@mkdir -p bench/results; for group in speed requests handshake start replay fsync scale workloads tail; do \
		echo "## $$group"; $(BIN)/python -m bench $$group; code=$$?; \
		if [ $$code -ne 0 ] && [ $$code -ne 3 ]; then echo "$$group ended with exit code $$code"; fi; \
	done | tee bench/results/performance.md

# uv is only the tool that makes the lock files; nothing else needs it. UPGRADE=1 takes the newest versions.
UV := .uv/bin/uv
UV_COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
	--python-version 3.11 $(if $(UPGRADE),--upgrade)

lock: $(UV) ## resolve pyproject.toml into the lock files (UPGRADE=1: newest versions)
	$(UV_COMPILE) --group build --output-file requirements-build.lock
	$(UV_COMPILE) --group fuzz --output-file requirements-fuzz.lock
	$(UV_COMPILE) pyproject.toml --constraints requirements-build.lock --output-file requirements.lock
	$(UV_COMPILE) pyproject.toml --extra dev --constraints requirements-build.lock \
		--constraints requirements.lock --output-file requirements-dev.lock

$(UV):
	python3 -m venv $(@D)/..
	$(@D)/pip install --quiet --disable-pip-version-check uv
