# `make` alone lists the targets. Each sets up whatever it needs; Python 3.11 and make are enough.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types contracts protos pytest format soak audit benchmark clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 12

$(READY): pyproject.toml protos/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info[:2] >= (3, 11) else "penchant needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ./protos --editable '.[demo,dev]'
	@touch $@

setup: $(READY) ## create .venv and install penchant with everything for demo and tests

demo: $(READY) ## learn a retailer's year and ask about it over gRPC
	$(BIN)/penchant demo $(ARGS)

test: lint types contracts protos pytest ## all that guards the project

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy
	cd protos && ../$(BIN)/mypy

contracts: $(READY)
	$(BIN)/lint-imports

protos: $(READY)
	cd protos && ../$(BIN)/buf lint
	$(BIN)/python protos/generate.py --check

pytest: $(READY)
	$(BIN)/python -m pytest --numprocesses auto $(ARGS)

format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: $(READY) ## what is too long for `make test`: kill rounds, fuzzing at length
	$(BIN)/python -m pytest -m soak --timeout 7200 $(ARGS)

audit: ## known vulnerabilities in the versions that CI tested (needs a network)
	test -x $(VENV)/audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)/audit && $(VENV)/audit/bin/python -m pip install --quiet pip-audit; }
	$(VENV)/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

benchmark: $(READY) ## quality on complete-journey over three seeds (about half an hour)
	$(BIN)/penchant benchmark complete-journey $(ARGS)

clean: ## remove what the build made, keep databases and models
	rm -rf $(VENV) protos/.generator tests/protos/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info protos/*.egg-info
