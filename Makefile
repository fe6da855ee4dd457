# Everything from a clone: `make demo`, `make test`. Needs Python 3.11 or newer, make and git; the first call sets up.
#
#   PYTHON=python3.12                  another interpreter for the environments
#   PIP_ARGS="--index-url URL"   handed to every pip that fetches: a mirror, a CPU build of torch, …
#   PYTEST_ARGS="-k store -x"          handed to pytest by `make test` and `make quick`

PYTHON      ?= python3
PIP_ARGS    ?=
PYTEST_ARGS ?=
WORKERS     ?= 2

# Tests start hundreds of processes; each would compile saksi anew where somebody has set this.
unexport PYTHONDONTWRITEBYTECODE

# Stamps say what is done; each depends on what would make it wrong. Nothing here is needed by saksi itself.
STAMPS  := .stamps
PINS    := pyproject.toml constraints.txt
SOURCES := $(shell find src -type f -not -name '*.pyc') README.md LICENSE
PIP     := -m pip --disable-pip-version-check --quiet
FETCH    = $(PIP) install --constraint constraints.txt $(PIP_ARGS)

.PHONY: help setup demo test quick check bench range soak format clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:
	@echo 'make demo     train a small GPT under saksi, look at the record, verify it; name a sabotage, and prove it'
	@echo 'make test     all tests'
	@echo 'make quick    the tests that start no training and are not slow'
	@echo 'make check    lint, format, types, floors'
	@echo 'make bench    the figures of docs/benchmarks.md'
	@echo 'make range    the sabotage benchmark of docs/range.md (half an hour)'
	@echo 'make soak     half an hour of hostile peers, five minutes of load'
	@echo 'make format   put the code in shape'
	@echo 'make setup    the environments that all of these need (done by them when missing)'
	@echo 'make clean    remove environments, caches and stamps'

setup: $(STAMPS)/venv $(STAMPS)/venv-train $(STAMPS)/venv-bare $(STAMPS)/wheel

demo: setup
	@.venv/bin/python examples/demo.py

test: setup
	.venv/bin/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

quick: setup
	.venv/bin/python -m pytest -n $(WORKERS) --dist worksteal -m "not training and not slow" $(PYTEST_ARGS)

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

range: setup
	.venv/bin/saksi range --python .venv-train/bin/python $(RANGE_ARGS)

soak: setup
	.venv/bin/python bench/soak.py $(SOAK_ARGS)
	.venv/bin/python bench/load.py $(LOAD_ARGS)

bench: setup
	.venv/bin/python bench/recorder_cost.py
	.venv/bin/python bench/launch.py
	.venv/bin/python bench/append.py
	.venv/bin/python bench/verify_log.py
	.venv/bin/python bench/env_verify.py --python .venv-train/bin/python --bytecode

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean:
	rm -rf .venv .venv-train .venv-bare $(STAMPS) build dist demo-out
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/python:
	@mkdir -p $(STAMPS)
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is not installed; saksi needs Python 3.11 or newer. Name another: make PYTHON=/path/to/python setup" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); saksi needs Python 3.11 or newer. Name another: make PYTHON=python3.11 setup" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv; then again." >&2; \
	  exit 1; }
	@touch $@

# .venv: saksi as it lies in src, its tools, and torch for the tests. The build back end is installed first, so that pip
# needs no second, isolated environment for it. The groups of pyproject.toml are read here since older pips cannot.
$(STAMPS)/venv: $(PINS) | $(STAMPS)/python
	@echo "set-up 1/4: .venv: saksi, its tools, torch (minutes the first time: torch is large)"
	@test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	@.venv/bin/python -c "import tomllib; t = tomllib.load(open('pyproject.toml', 'rb')); \
	  print(*t['dependency-groups']['dev'], *t['project']['optional-dependencies']['torch'], sep='\n')" > $(STAMPS)/dev.txt
	@.venv/bin/python $(FETCH) hatchling editables
	@.venv/bin/python $(FETCH) scikit-learn --requirement $(STAMPS)/dev.txt
	@.venv/bin/python $(FETCH) --no-build-isolation --editable .
	@touch $@

# .venv-train: what a user trains with. saksi is not in it, and must work with it all the same.
$(STAMPS)/venv-train: constraints.txt | $(STAMPS)/python
	@echo "set-up 2/4: .venv-train: torch and scikit-learn without saksi"
	@test -x .venv-train/bin/pip || $(PYTHON) -m venv .venv-train
	@.venv-train/bin/python $(FETCH) torch scikit-learn
	@touch $@

# .venv-bare: saksi's base install and nothing else, as somebody has it who only verifies.
$(STAMPS)/venv-bare: $(PINS) | $(STAMPS)/python
	@echo "set-up 3/4: .venv-bare: what saksi's base install needs"
	@test -x .venv-bare/bin/pip || $(PYTHON) -m venv .venv-bare
	@$(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
	  > $(STAMPS)/base.txt
	@.venv-bare/bin/python $(FETCH) --requirement $(STAMPS)/base.txt
	@touch $@

# The wheel is built again whenever a source file changed; this needs no network.
$(STAMPS)/wheel: $(SOURCES) $(STAMPS)/venv $(STAMPS)/venv-bare
	@echo "set-up 4/4: saksi's wheel into .venv-bare"
	@rm -rf build/wheel
	@.venv/bin/python $(PIP) wheel --no-deps --no-index --no-build-isolation --wheel-dir build/wheel .
	@.venv-bare/bin/python $(PIP) install --no-deps --no-index --force-reinstall build/wheel/saksi-*.whl
	@touch $@
