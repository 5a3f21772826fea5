# What a developer runs. PYTHON chooses the interpreter: make test PYTHON=python3.12
PYTHON ?= python
OUTPUT ?= output
PORT ?= 5000
export OUTPUT PORT

# Every core runs tests, up to eight: a worker takes one to two gigabytes of memory.
PYTEST = $(PYTHON) -m pytest --numprocesses logical --maxprocesses 8 --dist worksteal

.PHONY: help install lint check test torture docs dashboard lock audit clean

help:            ## show this
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install:         ## install what the tests need
	$(PYTHON) -m pip install --quiet -r requirements-dev.txt

lint:            ## style and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright --pythonpath "$$($(PYTHON) -c 'import sys; print(sys.executable)')"

check:           ## style, types and the fast tests of what changed since main
	$(PYTHON) .ci/check.py

test: install lint  ## everything that CI runs
	$(PYTEST)

torture: install ## the tests that take minutes, and 10,000 inputs for each part that is fuzzed
	$(PYTEST) -m torture
	FUZZ=torture $(PYTEST) tests/fuzz

docs:            ## the site of docs/, in site/; any warning or broken link is an error
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet

dashboard:       ## runs in a browser, for you alone
	@$(PYTHON) -m tracking.dashboard "$$OUTPUT" "$$PORT"

lock:            ## update requirements.lock with uv, without releases younger than a week
	uv pip compile requirements.txt --universal --python-version 3.11 --upgrade --exclude-newer "7 days" \
	--generate-hashes --no-header --no-annotate --quiet --output-file requirements.lock

audit:           ## look for known vulnerabilities in the locked packages
	$(PYTHON) -m pip_audit --require-hashes --disable-pip -r requirements.lock

clean:           ## remove caches, keep runs and data
	rm -rf .pytest_cache .ruff_cache site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
