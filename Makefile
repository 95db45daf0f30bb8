# Everything a person runs. `make help` lists it.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test fuzz robustness bench check protos lock clean

# Tools find each other (protoc its plugins, tests buf) without an activated environment.
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH"

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 16

setup: ## create or update .venv from requirements.lock; nothing to do costs nothing
	@bash .ci/setup

demo: setup ## run the main job on the built-in sample; prints the figures and where the report is
	@$(RUN) rankspace demo

test: setup ## run every test
	@$(RUN) python -m pytest

fuzz: setup ## throw bytes at every parser of ours for five minutes each; what falls is shown
	@$(RUN) python -m tests.fuzz.run 300

robustness: setup ## hurt real servers for a while, then look for seeded bugs: SECONDS=600 SEED=1
	@$(RUN) python -m tests.robustness --bugs --seconds $(or $(SECONDS),60) --seed $(or $(SEED),0)

bench: setup ## answer one question of benchmarks/ with figures: make bench NAME=codecs
	@if [ -z "$(NAME)" ] || [ ! -f "benchmarks/$(NAME).py" ]; then \
	  echo "usage: make bench NAME=…, where NAME is one of:" $$(cd benchmarks && ls *.py | sed 's/\.py$$//' | grep -v '^_') >&2; \
	  exit 2; \
	fi
	@$(RUN) python -m benchmarks.$(NAME)

check: setup ## lint, spelling, protos, floors, types: all of .ci/run but the tests
	@bash .ci/run check

protos: setup ## write rankspace/v1 anew from protos/
	@$(RUN) python protos/generate.py

lock: setup ## choose versions anew: pyproject.toml -> requirements.lock
	@$(RUN) python -m uv pip compile --universal --no-emit-index-url --generate-hashes \
	  --python-version 3.11 pyproject.toml --group dev -o requirements.lock

clean: ## remove what tools left behind, the environment included; data stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage dist
	@find rankspace services tests benchmarks protos -name __pycache__ -type d -prune -exec rm -rf {} +
