# Everything a developer types. `make demo` and `make test` set up all they need by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest
# A test that hangs must not take the whole run with it.
PYTEST_OPTIONS ?= --timeout 300

.PHONY: help setup demo test lint format unit integration e2e up down bench bench-fanout lock clean

help: ## say what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

setup: $(VENV)/.ready ## a virtual environment with the locked dependencies

$(VENV)/.ready: constraints/dev.txt pyproject.toml worker-image/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "installing the locked dependencies into $(VENV)" >&2
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e worker-image -e .
	@touch $@

demo: setup ## run the examples at once, in one process, without a cluster
	$(BIN)/mastercontrol dev examples/relay/*.yaml examples/thumbnails/*.yaml examples/patterns/*.yaml

test: lint unit integration e2e ## everything: style, unit, integration and a real cluster

lint: setup ## ruff, mypy and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/lint-imports

format: setup ## let ruff format the tree
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

unit: setup ## tests without services
	hack/tools helm
	$(PYTEST) $(PYTEST_OPTIONS) tests/unit

integration: setup ## tests on a real API server and a real RabbitMQ, without pods
	hack/tools control-plane rabbitmq helm
	$(PYTEST) $(PYTEST_OPTIONS) tests/integration

e2e: setup ## tests on a real cluster with the chart, the images and the examples
	$(PYTEST) --timeout 900 -rP tests/e2e

up: ## a kind cluster with the chart and the examples
	hack/up

down: ## remove that cluster
	hack/down

bench: setup ## transitions per second beside the API server's own limit
	hack/tools control-plane rabbitmq
	$(BIN)/python bench/throughput.py

bench-fanout: setup ## what one result of a large Map costs, beside that of a small one
	hack/tools control-plane rabbitmq
	$(BIN)/python bench/fanout.py

lock: setup ## write the constraints anew from the declared dependencies
	hack/lock

clean: ## remove what was made here; clusters stay (make down)
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
