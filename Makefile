# Two commands on a fresh machine: `make demo` and `make test`.
# Needs make, git and Python 3.11 or newer. Everything else is made here: a virtual environment in
# .venv, and the tools (a real control plane, helm, kustomize), cached per user.

VENV    := .venv
BIN     := $(VENV)/bin
PREFIX  ?= /opt/gitops
DIR     ?= build/tools
# What an image needs; the control plane is for tests and the demo. tofu costs it 110 MB and some
# minutes of building: leave it out where no root is run, or terraform is brought along.
BINARIES ?= kustomize helm tofu
TESTARGS ?=
# Most tests wait for real parts most of the time: more workers than cores, where there are few.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 4); echo $$((n > 4 ? n : 4)))

# Tests start hundreds of processes of ours: what each would compile anew, they write down once.
unexport PYTHONDONTWRITEBYTECODE

# The first Python that is new enough; PYTHON=… names another.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

CONSTRAINTS := constraints/build.txt constraints/dev.txt
PIP := python -m pip --disable-pip-version-check install --quiet
# Some packages come as sources. They are built with the pinned setuptools, installed before them:
# in isolation pip would fetch one to build with that no hash vouches for.

.DEFAULT_GOAL := help
.PHONY: help venv tools test unit lint bench demo screenshots constraints clean install binaries image
.DELETE_ON_ERROR:

help: ## List the targets
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.installed ## Make the virtual environment (again only if what it holds has changed)

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: name one with PYTHON=…" >&2; exit 1; }
	@echo "making $(VENV): some minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/$(PIP) --require-hashes -r constraints/build.txt
	@PYTHONWARNINGS=ignore $(BIN)/$(PIP) --require-hashes --no-build-isolation -r constraints/dev.txt
	@PYTHONWARNINGS=ignore $(BIN)/$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

tools: venv ## Find or build the tools (minutes the first time, then cached)
	@$(BIN)/gitops sandbox tools >/dev/null

# The fast ones first: a slip shows within seconds. Tests that share something heavy are grouped.
# unit: one part alone; engine: with a store in memory; web: through the HTTP application; the
# others: on real parts.
FAST  := tests/unit/ tests/engine/ tests/web/
TESTS := $(FAST) $(filter-out $(FAST) tests/node/ tests/__pycache__/,$(wildcard tests/*/))

test: venv ## Every test, on real parts
	@$(BIN)/gitops sandbox tools --tests >/dev/null
	@$(BIN)/python -m tests.npm
# Before the first run, what every worker would prepare for itself is prepared once.
	@test -d .hypothesis/constants || $(BIN)/python -m pytest -q --collect-only $(TESTS) >/dev/null
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(TESTS) $(TESTARGS)

unit: venv ## The fast tests alone (what takes seconds runs with `make test`)
	@$(BIN)/python -m pytest -q -n auto -m "not slow" tests/unit $(TESTARGS)

lint: venv ## Style, types, layers, the Dockerfile
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint Dockerfile

bench: venv tools ## Measure speed and memory; prints numbers, judges nothing
	@$(BIN)/python -m tests.bench

demo: venv tools ## See the whole thing once, on a real control plane
	@$(BIN)/gitops demo

screenshots: venv tools ## Take examples/screenshots anew (needs Chromium on PATH)
	@$(BIN)/python -m tests.browser.screenshots

# Which versions are installed is decided here and nowhere else. Without the address of an index, so
# that everybody's own is asked; the hashes say whether what it answers is the same.
PINS := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(UVARGS)

constraints: venv ## Pin what pyproject.toml asks for (UVARGS=--upgrade for the newest)
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(BIN)/$(PINS) - --output-file constraints/build.txt >/dev/null
	@$(BIN)/$(PINS) pyproject.toml --all-extras --output-file constraints/dev.txt >/dev/null
	@$(BIN)/$(PINS) pyproject.toml --extra postgres --constraint constraints/dev.txt \
		--output-file constraints/runtime.txt >/dev/null

clean: ## Remove what was made here; the user's tool cache stays
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what the Dockerfile runs -------------------------------------------------------------------

install: ## Install the released package into PREFIX, without anything for development
	@$(PYTHON) -m venv $(PREFIX)
	@$(PREFIX)/bin/$(PIP) --require-hashes -r constraints/build.txt
	@$(PREFIX)/bin/$(PIP) --require-hashes --no-build-isolation -r constraints/runtime.txt
	@$(PREFIX)/bin/$(PIP) --no-deps --no-build-isolation .
	@$(PREFIX)/bin/python -m pip uninstall --quiet --yes setuptools

binaries: ## Build BINARIES into DIR; needs nothing but Python
	@$(PYTHON) -m gitops.sandbox $(DIR) $(BINARIES)

image: ## Build the container image
	docker build --tag gitops-controller .
