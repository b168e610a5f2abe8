# `make demo` and `make test` are the two to know. Both make .venv first, and install nothing the second time.

PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --build-constraint constraints.txt
PIP_READY := .venv/.pip-ready
DEMO_READY := .venv/.demo-ready
DEV_READY := .venv/.dev-ready
NODE_READY := examples/nodejs/node_modules/.ready
SOURCES := $(shell find siamcorr server clients -name '*.py')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test bench lint format protos clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

# Who develops has an editable install already, and keeps it.
demo: $(if $(wildcard $(DEV_READY)),$(DEV_READY),$(DEMO_READY)) ## run the demo; on a fresh clone, install what it needs first
	$(BIN)/siamcorr-demo

test: lint $(NODE_READY) ## run everything that CI runs: style, types, tests
	$(BIN)/pytest

bench: $(DEV_READY) ## measure operators and server; CASES="a d" runs some rows, OUT=f.json writes them and f.png
	$(BIN)/python tests/benchmarks/run.py $(CASES) $(if $(OUT),--out $(OUT))

lint: $(DEV_READY) ## run the style and type checks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(DEV_READY) ## let ruff fix and format the sources
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

protos: $(DEV_READY) ## generate siamcorr/v1 from protos/
	$(BIN)/python protos/generate.py

clean: ## remove .venv, caches and what was built
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist examples/nodejs/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than the files that say what to install, or the install runs again.
$(DEMO_READY): $(PIP_READY) pyproject.toml constraints.txt $(SOURCES)
	@echo "installing into .venv: a minute or more the first time"
	$(PIP_INSTALL) '.[demo]'
	@touch $@

$(DEV_READY): $(PIP_READY) pyproject.toml constraints.txt
	@echo "installing into .venv, editable"
	$(PIP_INSTALL) --group dev --editable '.[demo,load,tracing]'
	@touch $@

# Without npm, or without what it fetches, the Node.js example's test skips, and so says.
$(NODE_READY): examples/nodejs/package.json examples/nodejs/package-lock.json examples/nodejs/.npmrc
	@if ! command -v npm >/dev/null; then \
	    echo "no npm: the test of examples/nodejs will be skipped"; \
	elif (cd examples/nodejs && npm ci --silent --fetch-retries=1); then \
	    touch $@; \
	else \
	    echo "npm found no packages: the test of examples/nodejs will be skipped"; \
	fi

# The pip that comes with Python 3.11 knows neither --group nor --build-constraint.
$(PIP_READY): constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "siamcorr needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	@touch $@
