# What a developer runs. PYTHON chooses the interpreter: make test PYTHON=python3.12
PYTHON ?= python
OUTPUT ?= output
PORT ?= 5000
export OUTPUT PORT

.PHONY: help install lint test torture dashboard lock audit clean

help:            ## show this
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install:         ## install what the tests need
	$(PYTHON) -m pip install --quiet -r requirements-dev.txt

lint:            ## style and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright --pythonpath "$$($(PYTHON) -c 'import sys; print(sys.executable)')"

test: install lint  ## everything that CI runs
	$(PYTHON) -m pytest

torture: install ## the tests that take minutes, and 10,000 inputs for each part that is fuzzed
	$(PYTHON) -m pytest -m torture
	FUZZ=torture $(PYTHON) -m pytest tests/fuzz

dashboard:       ## the runs in a browser, on this machine and for you only
	@$(PYTHON) -m tracking.dashboard "$$OUTPUT" "$$PORT"

lock:            ## requirements.lock anew, by uv, without releases younger than a week
	uv pip compile requirements.txt --universal --python-version 3.11 --upgrade --exclude-newer "7 days" \
	--generate-hashes --no-header --no-annotate --quiet --output-file requirements.lock

audit:           ## known holes in the locked packages, by pip-audit
	$(PYTHON) -m pip_audit --require-hashes --disable-pip -r requirements.lock

clean:           ## remove caches, keep runs and data
	rm -rf .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
