# A fresh clone needs nothing but `make demo` and `make test`: the first call creates the environment.
#   make test VENV=/path/to/venv     use another environment
#   make test PYTHON=python3.12      create it with another interpreter

VENV ?= .venv
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14 python; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo "$$python"; break; }; done)

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# tests/conftest.py says how many workers these are; an idle worker takes tests from a busy one.
PARALLEL := -n logical --dist worksteal

.PHONY: help demo install test test-all acid bench bench-full check lint lint-python lint-types lint-sql generate clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo      import the sample conversations into a new database, search them, run jobs'
	@echo 'make test      run the tests'
	@echo 'make test-all  run the tests, including the long ones'
	@echo 'make check     check every statement and migration against the schema (datastore check)'
	@echo 'make acid      run the ACID suites, print docs/acid.md and write it'
	@echo 'make bench     compare speed with other libraries (twelve minutes), write docs/query-times.md; bench-full: run all measurements'
	@echo 'make lint      run make check, ruff, ruff format, mypy --strict, SQLFluff'
	@echo 'make generate  regenerate every generated file: types, lock file, pages, tables'
	@echo 'make clean     remove everything that the commands above created'

demo: $(INSTALLED)
	@$(BIN)/python docs/demo.py

install: $(INSTALLED)

test: $(INSTALLED)
	@$(BIN)/python -m pytest $(PARALLEL)

test-all: $(INSTALLED) $(VENV)/.types
	@$(BIN)/python -m pytest -m "long or not long" $(PARALLEL) --ignore tests/acid
	@$(BIN)/python -m pytest -m "long or not long" -n 2 tests/acid

check: $(INSTALLED)
	@$(BIN)/datastore check

bench: $(INSTALLED) $(VENV)/.bench
	@$(BIN)/python perf/bench.py

bench-full: $(INSTALLED) $(VENV)/.bench
	@$(BIN)/python perf/bench.py --full

# The parts can run at once: make -j2 lint.
lint: check lint-python lint-types lint-sql

lint-python: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

lint-types: $(INSTALLED)
	@$(BIN)/mypy

lint-sql: $(INSTALLED)
	@$(BIN)/sqlfluff lint --processes 0 sql migrations datastore/contract

acid: $(INSTALLED)
	@$(BIN)/python -m tests.acid.page

generate: $(INSTALLED)
	@$(BIN)/python docs/generate.py

clean:
	rm -rf .venv build dist demo.db demo.db-wal demo.db-shm demo.db.gate
	rm -rf .acid .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find datastore tests perf docs -name __pycache__ -type d -prune -exec rm -rf {} +

# Additional packages for the long tests.
$(VENV)/.types: $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[types]'
	@touch $@

# The libraries that the measurements compare with.
$(VENV)/.bench: $(INSTALLED)
	@echo 'Installing the libraries to compare with ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench,dev]'
	@touch $@

# Reinstalls only when pyproject.toml has changed.
$(INSTALLED): pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo 'No Python 3.11 or later with the venv module was found. Install one (Debian, Ubuntu:' >&2; \
		echo '  apt install python3 python3-venv; macOS: brew install python; anywhere: uv python install 3.11),' >&2; \
		echo '  or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2; \
		exit 1; \
	fi
	@test -x $(BIN)/python || { echo 'Creating $(VENV) with $(PYTHON) ...'; $(PYTHON) -m venv $(VENV); }
	@echo 'Installing datastore and its development tools into $(VENV) ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
