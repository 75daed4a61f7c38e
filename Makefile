# setup run test long lint types bench docs: one short command each. PYTHON=/path/to/python chooses the interpreter.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
TIME := $(VENV)/time
PYTHON ?=

.PHONY: setup run test long lint types bench docs

setup: $(VENV)/.setup

run: $(VENV)/.run
	@$(BIN)/rune serve --config examples/demo/rune.toml

test: setup
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report --fail-under=92
	@$(BIN)/coverage report --include='src/rune/protocol/*' --fail-under=100

long: setup
	RUNE_LONG=1 $(BIN)/python -m pytest -q

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m bench

docs: setup
	$(BIN)/python docs/generate.py

# The package and the development tools.
$(VENV)/.setup: pyproject.toml Makefile .ci/python
	@.ci/python $(VENV) $(PYTHON)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@$(BIN)/python -m compileall -q src
	@touch $@

# The package alone, and beside it a third-party server for the demo in a venv of its own: its dependencies stay there.
$(VENV)/.run: pyproject.toml Makefile .ci/python
	@.ci/python $(VENV) $(PYTHON)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@$(BIN)/python -m compileall -q src
	@test -x $(TIME)/bin/python || $(BIN)/python -m venv $(TIME)
	$(TIME)/bin/python -m pip install -q --disable-pip-version-check mcp-server-time
	@touch $@
