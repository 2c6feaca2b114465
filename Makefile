# Two commands do everything: `make run` predicts a real model, `make test` runs the tests.
# Needs git, make, python3 (3.11 or newer) and python3-venv. Everything is installed into .venv; once that is done,
# nothing is fetched again until pyproject.toml changes.

PYTHON ?= python3
# Processes that run tests side by side.
JOBS ?= 2
MODEL ?= gpt-oss-20b
RUNTIME ?= llama.cpp
OUT ?= out

# Only relative paths, so that the checkout may lie in a folder with a space in its name.
bin := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup run test slow validation bench format lint types layers validate check clean

help:
	@echo 'make run         predict $(MODEL) on $(RUNTIME), draw into $(OUT)/'
	@echo 'make test        everyday tests (a few minutes at most)'
	@echo 'make check       all that must hold before a change goes in: what continuous integration runs'
	@echo 'make slow | validation | bench    the longer suites, one by one'
	@echo 'make format      put the code into its form, mend what can be mended'
	@echo 'make clean       remove .venv, $(OUT) and caches'

run: setup
	@$(bin)/sparksim run --model '$(MODEL)' --runtime '$(RUNTIME)' --out '$(OUT)' --force
	@echo 'Written:'
	@find '$(OUT)' -type f | sort | sed 's/^/  /'

test: setup
	$(bin)/python -m pytest -n $(JOBS)

slow: setup
	$(bin)/python -m pytest -n $(JOBS) -m slow

validation: setup
	$(bin)/python -m pytest -n $(JOBS) -m validation

# Alone and one after another: these tests look at the clock.
bench: setup
	$(bin)/python -m pytest -rP -m bench

format: setup
	$(bin)/ruff check --fix --exit-zero --quiet .
	$(bin)/ruff format .

lint: setup
	$(bin)/ruff format --check .
	$(bin)/ruff check .

types: setup
	$(bin)/mypy

layers: setup
	$(bin)/lint-imports --no-logo

# Predictions against published measurements, held to the targets in workloads/measurements/.
validate: setup
	$(bin)/sparksim validate inference --check
	$(bin)/sparksim validate microbench --check
	$(bin)/sparksim validate memory --check
	$(bin)/sparksim validate power --check
	$(bin)/sparksim validate tenants --check
	$(bin)/sparksim validate machines --check

check:
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory layers
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory slow
	@$(MAKE) --no-print-directory validation
	@$(MAKE) --no-print-directory bench
	@$(MAKE) --no-print-directory validate

clean:
	rm -rf .venv '$(OUT)' build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# --- .venv ---
# .venv/installed holds what was installed and where; while that is still so, setup does nothing.

define setup_script
want() { pwd; cat pyproject.toml; }
if test -x .venv/bin/python && want | cmp -s - .venv/installed && .venv/bin/python -c ''; then exit 0; fi
py='$(PYTHON)'
if ! command -v "$$py" >/dev/null 2>&1; then
  echo "$$py is not installed. Please run:  sudo apt install python3 python3-venv" >&2; exit 2
fi
if ! "$$py" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "sparksim needs Python 3.11 or newer; $$py is $$("$$py" -c 'import platform; print(platform.python_version())')." >&2
  echo "Please run:  sudo apt install python3.11 python3.11-venv   and then:  make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2
fi
if ! "$$py" -c 'import ensurepip, venv' >/dev/null 2>&1; then
  echo "$$py cannot make virtual environments. Please run:  sudo apt install $${py##*/}-venv" >&2; exit 2
fi
echo 'Installing into .venv (once; needs the network) ...' >&2
set -e
# Made anew unless it works and was made here: its scripts hold the folder's name.
if ! test "$$(head -n 1 .venv/installed 2>/dev/null)" = "$$(pwd)" || ! .venv/bin/python -c '' 2>/dev/null; then "$$py" -m venv --clear .venv; fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
want >.venv/installed
endef
export setup_script

setup:
	@sh -c "$$setup_script"
