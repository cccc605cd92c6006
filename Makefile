# One word for each thing to do. Everything that is needed is set up on the way, on Debian 12 with
# nothing but Python 3.11, git and make.

SHELL := /bin/bash
.DEFAULT_GOAL := help

BIN := .venv/bin
# What follows the command: make demo ARGS=--keep, make test ARGS="-k token"
ARGS :=

.PHONY: help setup servers demo check test test-system test-invariants corpora fuzz bench pictures lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## make .venv with the locked libraries and .venv/bin/mailbot
	@.ci/setup-venv

servers: # the servers that the tests start
	@.ci/setup-servers

demo: setup  ## the whole main job in 15 seconds, with servers of its own (ARGS=--keep: leave it running)
	@$(BIN)/mailbot demo $(ARGS)

check: setup  ## lint, format, types, imports, and the lock against pyproject.toml
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python .ci/check_lock.py

test: setup servers  ## all tests but the slow ones, in a few minutes (ARGS="-k token")
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not system and not benchmark" $(ARGS)

# pytest exits with 5 where it found no test to run.
test-system: setup servers  ## the slow tests, against real servers
	$(BIN)/python -m pytest -n 2 --dist loadfile -m system $(ARGS) || [ $$? -eq 5 ]

test-invariants: setup servers  ## break each invariant in a copy: the tests must notice
	$(BIN)/python tests/invariants/run.py $(ARGS)

corpora: setup  ## how the real mail of ../shared/corpora is judged, set by set
	$(BIN)/python -m tests.corpora.table

fuzz: setup  ## fuzz what reads mail, guided by coverage (ARGS="--minutes 10")
	$(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check --require-hashes --requirement tests/fuzz/requirements.txt
	$(BIN)/python -m tests.fuzz.run $(ARGS)

bench: setup  ## speed beside a baseline of the same run, at ten million (QUICK=1: in three minutes)
	$(BIN)/python -m tests.benchmarks.run

pictures: setup servers  ## our mails and the public page in a browser, into docs/images/
	$(BIN)/python -m tests.pictures.make

lock: setup  ## make requirements.lock anew from pyproject.toml (ARGS=--upgrade: with newer versions)
	.ci/lock $(ARGS)

clean:  ## remove what was made here, .venv included
	rm -rf .venv .fuzz .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
