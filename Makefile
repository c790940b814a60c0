# Every target sets up what is missing first; what is done is skipped. `make` alone prints this list.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first Python on PATH that fits and starts: a version manager's shim may stand for a version that is not there.
PYTHON := $(shell for name in python3 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$name && break; done)
CORE := .venv/core/bin/python
# movielens, movielens:DIR, kuairand:DIR or events:DIR.
export DATA ?= movielens

.PHONY: help setup demo test coverage check lint format up down status lock bench reset clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup: ## install environments, Java, jars and servers into this folder
	@$(if $(PYTHON),,echo "MachineError: no Python 3.11 or 3.12 is on PATH: install one of them, with its venv module." >&2; exit 1)
	@$(PYTHON) -m stack.setup

demo: setup ## run the whole loop on real data (DATA=movielens:DIR, kuairand:DIR or events:DIR for other data)
	@$(CORE) -m demo

test: setup ## lint and all tests; up to an hour on 2 cores
	@$(PYTHON) -m stack.suites test

coverage: setup ## all tests, and which lines they ran
	@$(PYTHON) -m stack.suites coverage

check: setup ## lint and the tests that need no server; a few minutes
	@$(PYTHON) -m stack.suites check

lint: setup ## ruff, types, import contracts
	@$(PYTHON) -m stack.suites lint

format: setup ## put the code into the house's format
	@.venv/core/bin/ruff check --fix --quiet . ; .venv/core/bin/ruff format .

up: setup ## start the stack (ONLY=postgres,redis,kafka for a part)
	@$(CORE) -m stack.up --only "$(ONLY)"

down: ## stop the stack; no process and no port is left
	@if [ -x $(CORE) ]; then $(CORE) -m stack.down; fi

status: setup ## show the components: state, address, memory, log
	@$(CORE) -m stack.status

lock: ## make the lock files anew from setup.cfg
	@$(PYTHON) -m stack.lock

bench: setup ## measure what the README claims
	@$(CORE) -m benchmarks.run

reset: down ## forget data and models, keep what was installed
	@cd var && rm -rf airflow data/demo demo flink kafka lake log mlflow postgres redis run serving stamps training

clean: down ## remove what was installed and written: .venv/ and var/, data and models too
	@rm -rf .venv var
