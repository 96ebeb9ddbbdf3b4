# Two commands: `make run` and `make test`. Everything else is listed by `make help`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help run test check format protos install clean
help:            ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(STAMP)  ## make .venv with everything in it

run: $(STAMP)    ## train on Fashion-MNIST (or digits) with 4 Ray workers, one of them slow
	$(BIN)/ripieno run examples/fashion_mnist/train.yaml

test: $(STAMP)   ## run all tests
	$(BIN)/python -m pytest

check: $(STAMP)  ## format, lint, types, import rules, generated protos
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python -m protos.generate --check

format: $(STAMP) ## rewrite the code in our format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(STAMP) ## generate protos/*_pb2*.py from protos/*.proto
	$(BIN)/python -m protos.generate

clean:           ## remove .venv and caches, keep runs
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
