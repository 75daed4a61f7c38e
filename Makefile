# setup run test long lint types bench docs, rust-*: one short command each. PYTHON=/path/to/python chooses the interpreter.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
TIME := $(VENV)/time
PYTHON ?=
PYTEST := $(BIN)/coverage run -m pytest -q
ALONE := tests/e2e/test_defects.py tests/e2e/test_leaks.py tests/e2e/test_slow_clients.py tests/e2e/test_soak.py \
	tests/e2e/oauth/test_login.py tests/wires/test_child.py
# Files that take long begin early, so that none is left at the end while the other processes have nothing to do.
SLOW := tests/e2e/test_new_plugin.py tests/e2e tests/conformance tests/sources tests/wires

.PHONY: setup run test long lint types bench docs rust-dev rust-build rust-test rust-check rust-bench \
	rust-test-all rust-verify rust-fuzz rust-audit rust-coverage

setup: $(VENV)/.setup $(VENV)/.native

run: $(VENV)/.run
	@$(BIN)/rune serve --config examples/demo/rune.toml

# Three processes share two cores, as most tests wait for others; what promises a time or a number of processes runs by itself
# at the end. A test that failed beside others must fail alone too. A process that is killed may leave a broken file of coverage: the rest counts.
test: setup
	@$(BIN)/coverage erase
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder $(SLOW) tests $(addprefix --ignore=,$(ALONE)) || $(PYTEST) --last-failed --last-failed-no-failures none
	$(PYTEST) $(ALONE) || $(PYTEST) --last-failed --last-failed-no-failures none
	@$(BIN)/coverage combine -q || true
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

# The native kernels, where cargo can build them; without them Python does the same work.
$(VENV)/.native: $(VENV)/.setup Cargo.toml Cargo.lock $(shell find crates -name '*.rs' -o -name '*.toml' 2>/dev/null)
	@if ! command -v cargo >/dev/null; then echo "native kernels: no cargo here, Python does their work"; \
	elif $(BIN)/python -m pip install -q --disable-pip-version-check --force-reinstall --no-deps ./crates/rune-py; then \
	echo "native kernels: built"; else echo "native kernels: the build failed (see above), Python does their work"; fi
	@touch $@

# The kernels for those who work on them: installed anew, as a wheel in dist/, tested, checked.
rust-dev: setup
	$(BIN)/python -m pip install --disable-pip-version-check --force-reinstall --no-deps ./crates/rune-py

rust-build: setup
	$(BIN)/python -m pip wheel --disable-pip-version-check --no-deps -w dist ./crates/rune-py

rust-test:
	cargo test --workspace --exclude rune-py

rust-check: rust-test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# Both halves of every kernel: Rust by itself, then the tests in Python with the wheel and without it.
rust-test-all: rust-test setup
	RUNE_NATIVE=require $(BIN)/python -m pytest -q tests/kernels tests/plugins tests/test_native.py
	RUNE_NATIVE=off $(BIN)/python -m pytest -q tests/kernels tests/plugins tests/test_native.py

# A million generated texts for each pair of twins.
rust-verify: setup
	RUNE_NATIVE=require RUNE_LONG=1 $(BIN)/python -m pytest -q tests/kernels

# FUZZ_SECONDS for each kernel, one after the other; needs a nightly toolchain.
FUZZ_SECONDS ?= 600
rust-fuzz:
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	for kernel in escapes pii rate regex repair secrets sql words; do \
	cargo +nightly fuzz run $$kernel -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; done

rust-audit:
	@command -v cargo-audit >/dev/null || cargo install cargo-audit --locked
	cargo audit

rust-coverage:
	@command -v cargo-llvm-cov >/dev/null || cargo install cargo-llvm-cov --locked
	cargo llvm-cov --workspace --exclude rune-py --summary-only

# Against the kernels of others, in one run; writes bench/KERNELS.md.
rust-bench: setup
	$(BIN)/python -m bench.kernels

# The package alone, and beside it a third-party server for the demo in a venv of its own: its dependencies stay there.
$(VENV)/.run: pyproject.toml Makefile .ci/python
	@.ci/python $(VENV) $(PYTHON)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@$(BIN)/python -m compileall -q src
	@test -x $(TIME)/bin/python || $(BIN)/python -m venv $(TIME)
	$(TIME)/bin/python -m pip install -q --disable-pip-version-check mcp-server-time
	@touch $@
