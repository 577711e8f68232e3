# Two commands on a fresh machine: `make demo` and `make test`.
# Needs make, git and Python 3.11 or newer. Everything else is made here: a virtual environment in
# .venv, and the tools (a real control plane, helm, kustomize), cached per user.

VENV    := .venv
BIN     := $(VENV)/bin
PREFIX  ?= /opt/gitops
DIR     ?= build/tools
# What an image needs; the control plane is for tests and the demo.
BINARIES ?= kustomize helm
TESTARGS ?=

# The first Python that is new enough; PYTHON=… names another.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

CONSTRAINTS := $(wildcard constraints/*.txt)
PIP := python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help venv tools test unit lint demo clean install binaries image
.DELETE_ON_ERROR:

help: ## List the targets
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.installed ## Make the virtual environment (again only if what it holds has changed)

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: name one with PYTHON=…" >&2; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
ifneq ($(wildcard constraints/dev.txt),)
	@$(BIN)/$(PIP) --require-hashes -r constraints/dev.txt
	@$(BIN)/$(PIP) --no-deps --no-build-isolation -e .
else
	@$(BIN)/$(PIP) -e '.[dev]'
endif
	@touch $@

tools: venv ## Find or build the tools (minutes the first time, then cached)
	@$(BIN)/gitops sandbox tools >/dev/null

test: venv tools ## Every test, on real parts
	@$(BIN)/python -m pytest -n auto --dist loadgroup $(TESTARGS)

unit: venv ## The fast tests alone
	@$(BIN)/python -m pytest -q -n auto tests/unit $(TESTARGS)

lint: venv ## Style, types, layers, the Dockerfile
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint Dockerfile

demo: venv tools ## See the whole thing once, on a real control plane
	@$(BIN)/gitops demo

clean: ## Remove what was made here; the user's tool cache stays
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what the Dockerfile runs -------------------------------------------------------------------

install: ## Install the released package into PREFIX, without anything for development
	@$(PYTHON) -m venv $(PREFIX)
ifneq ($(wildcard constraints/runtime.txt),)
	@$(PREFIX)/bin/$(PIP) --require-hashes -r constraints/runtime.txt
	@$(PREFIX)/bin/$(PIP) --no-deps .
else
	@$(PREFIX)/bin/$(PIP) '.[postgres]'
endif

binaries: ## Build BINARIES into DIR; needs nothing but Python
	@$(PYTHON) -m gitops.sandbox $(DIR) $(BINARIES)

image: ## Build the container image
	docker build --tag gitops-controller .
