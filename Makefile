# make demo   draws a small data set, converts, validates, trains, tests, predicts, and names the images it left
# make test   lint, types, tests (what CI runs)
# make help   the rest
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   := demo
READY  := $(VENV)/.ready
CLASSIC ?= .venv-classic
OPS     ?= --ops

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all test-classic lint types docs corpora dist clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(READY)  ## .venv with everything, at the versions that were tested together

# mmcv and others ask for opencv-python, which wants a display's libraries and stands in the headless package's place:
# the headless one is put back last, so that nothing but Python is needed. panopticapi-lite asks for an old NumPy that it
# does not need; it is there for tests to compare with.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "error: training needs Python 3.10 or newer, this is %d.%d; say which to use: make PYTHON=python3.11 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=24'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,timm,report,export,ray,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt panopticapi-lite
	$(BIN)/python -m pip uninstall --quiet --yes opencv-python opencv-python-headless
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt opencv-python-headless
	@touch $@

demo: $(READY)  ## draw, convert, validate, train on the CPU, test, predict; images in demo/
	@BIN=$(abspath $(BIN)) DEMO=$(abspath $(DEMO)) bash examples/demo.sh

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

test: lint types  ## lint, types, tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-all: lint types  ## and the slow ones
	$(BIN)/python -m pytest -q -m ''

test-classic: $(CLASSIC)/.ready  ## the authors' own stack, in an environment of its own (OPS=--no-ops compiles nothing)
	$(CLASSIC)/bin/python -m pytest -q tests/classic

$(CLASSIC)/.ready: seg2knet/trainer/classic/constraints.txt | $(READY)
	$(BIN)/seg2knet setup classic --venv $(CLASSIC) $(OPS)
	$(CLASSIC)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< pytest hypothesis
	@touch $@

corpora: $(READY)  ## convert ../shared/corpora to every target, compare, write docs/corpora.md
	$(BIN)/python benchmarks/corpora.py

docs: $(READY)  ## the documentation as a site, in site/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

dist: $(READY)  ## sdist and wheel in dist/, checked as PyPI checks them
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dist]'
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*

clean:  ## remove what demo and the tools left
	rm -rf $(DEMO) site .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
