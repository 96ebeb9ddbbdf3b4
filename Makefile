# Two commands: `make run` and `make test`. Everything else is listed by `make help`.
#
#   PYTHON=/path/to/python3   another interpreter than the first found of python3.11, 3.12, 3.13 and python3
#   TORCH_INDEX=URL           where torch comes from: https://download.pytorch.org/whl/cpu is small and has no CUDA
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first interpreter that starts, is new enough and can make an environment (Debian splits that off: python3-venv).
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c '$(USABLE)' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
# Of pip's many lines a few, so that one sees it move.
BRIEFLY := awk '/^Collecting / && ++found % 40 == 0 { print "  " found " packages found"; fflush() } \
	/Downloading .* \([0-9][0-9]+(\.[0-9]+)? [MG]B\)/ { print "  " $$2, $$(NF-1), $$NF; fflush() } \
	/^Installing collected packages/ { print "  unpacking " NF - 3 " packages"; fflush() }'

.PHONY: help run test check docs other-pythons format protos install clean
help:            ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 15

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 that can make environments. On Debian: apt-get install python3-venv;" \
	  "or: make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "1/3  .venv, with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv
	@echo "2/3  torch"
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch | $(BRIEFLY)
	@echo "3/3  everything else: some 200 packages, one to three minutes"
	@$(PIP) --editable '.[dev]' | $(BRIEFLY)
	@touch $@

install: $(STAMP)  ## make .venv with everything in it, as pinned in constraints.txt

run: $(STAMP)    ## train on Fashion-MNIST (or digits) with 4 Ray workers, one of them slow
	@$(BIN)/ripieno run examples/fashion_mnist/train.yaml

test: $(STAMP)   ## run all tests
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: $(STAMP)  ## format, lint, types, import rules, generated protos and manual
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python -m protos.generate --check
	@$(BIN)/python docs/spec_reference.py --check
	@$(BIN)/python docs/step_costs.py --check
	@site=$$(mktemp -d) && trap 'rm -rf "$$site"' EXIT && NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict -f docs/mkdocs.yml -d "$$site"

docs: $(STAMP)   ## build the manual into site/
	@$(BIN)/python docs/spec_reference.py
	@$(BIN)/python docs/step_costs.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict -f docs/mkdocs.yml -d "$(CURDIR)/site"
	@echo "site/index.html"

other-pythons:   ## the pure part's tests on Python 3.12 and 3.13, where they are found
	@.ci/other_pythons

format: $(STAMP) ## rewrite the code in our format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(STAMP) ## generate protos/*_pb2*.py from protos/*.proto
	$(BIN)/python -m protos.generate

clean:           ## remove .venv and caches, keep runs
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache site *.egg-info
