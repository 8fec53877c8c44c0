# make quickstart: set up and run the main job; make test: set up and pass the tests.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: quickstart test test-all lint format docs clean
.DELETE_ON_ERROR:

quickstart: $(READY)
	$(BIN)/edgekit compress recipes/quickstart.yaml

# Two processes with one thread each: most of the time of most tests goes into Python and compilers of one thread.
test: export OMP_NUM_THREADS = 1
test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(BIN)/mkdocs build

# torch comes first and pinned: other packages would otherwise draw in its newest CUDA build.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[cpu,dev]'
	touch $@

clean:
	rm -rf $(VENV) runs site build dist *.egg-info
