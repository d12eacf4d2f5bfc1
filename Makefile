# Everything here works on a machine that has only Python 3.11 or newer; `make setup` is done when it is needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ARGS ?=
DOCS := README.md docs/explanation/decisions/README.md $(wildcard docs/reference/*.md)
COG := $(BIN)/cog -I docs
UV := 0.13.9
COMPILE := build/lock/bin/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header --python-version 3.11

.PHONY: setup demo run test check fix bench fuzz schedules docs lock clean

setup: .venv/.set-up

.venv/.set-up: pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nightdesk needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup                       # make demo ARGS=--headless
	$(BIN)/nightdesk demo $(ARGS)

run: setup                        # make run ARGS='--config desk/nightdesk.yaml'
	$(BIN)/nightdesk run $(ARGS)

test: setup                       # the quick suite; .ci/run has the slower ones
	$(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile -m "not slow and not postgresql and not packaging" $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(COG) --check $(DOCS)

fix: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup                      # NIGHTDESK_BENCH=short for a quick look
	@set -e; found=$$(grep -l __main__ benchmarks/*.py); for file in $$found; do \
	  name=$$(basename $$file .py); echo "== $$name"; $(BIN)/python -m benchmarks.$$name $(ARGS); done

fuzz: setup                       # mutated alerts of every product: make fuzz ARGS='--count 1000 okta'
	$(BIN)/python -m tests.fuzzing $(ARGS)

schedules: setup                  # the action engine on the simulators, killed anywhere: make schedules ARGS='--count 1000'
	$(BIN)/python -m tests.schedules $(ARGS)

docs: setup                       # writes the tables that are generated from manifests and code
	$(COG) -r $(DOCS)

lock:                             # newest versions that pyproject.toml allows
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --disable-pip-version-check uv==$(UV)
	$(COMPILE) pyproject.toml --all-extras -o requirements/run.txt
	$(COMPILE) --group pyproject.toml:build -o requirements/build.txt
	$(COMPILE) pyproject.toml --all-extras --group dev -o requirements/dev.txt
	for file in $(basename $(wildcard tests/consumers/*.in tests/clients/*.in)) benchmarks/peer/requirements; do \
	  $(COMPILE) --no-annotate $$file.in -o $$file.txt; done

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
