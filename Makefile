# Everything a developer types. `make demo` and `make test` set up all they need by themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest
# A test that hangs must not take the whole run with it.
PYTEST_OPTIONS ?= --timeout 300

.PHONY: help setup demo test lint format unit model integration simulation simulate replay mutants mutation e2e up down bench bench-fanout bench-scaling chaos keda lock clean

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

test: lint unit integration simulation e2e ## everything: style, unit, integration, simulation and a real cluster

lint: setup ## ruff, mypy and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/mypy -p autoscaling
	$(BIN)/lint-imports

format: setup ## let ruff format the tree
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

unit: setup ## tests without services
	hack/tools helm
	$(PYTEST) $(PYTEST_OPTIONS) tests/unit

model: setup ## search the protocol's model further than the unit tests do; takes half an hour
	PYTHONPATH=tests $(BIN)/python -m model

integration: setup ## tests on a real API server and a real RabbitMQ, without pods
	hack/tools control-plane rabbitmq helm
	$(PYTEST) $(PYTEST_OPTIONS) tests/integration

simulation: setup ## five minutes of schedules that nobody chose, and broken protocols that must be found
	$(PYTEST) --timeout 1800 -rfEP tests/simulation

# `make simulate SECONDS=3600` for an hour; SEED=... for the first seed, which is a random one otherwise.
SECONDS ?= 300
SIMULATION := PYTHONPATH=tests $(BIN)/python -m simulation

simulate: setup ## schedules that nobody chose, for SECONDS
	$(SIMULATION) run --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

replay: setup ## one schedule again: SEED=..., and EVENTS=file for what happened in it
	$(SIMULATION) replay $(SEED) $(if $(EVENTS),--events $(EVENTS))

mutants: setup ## how many schedules it takes to find each broken protocol
	$(SIMULATION) mutants $(if $(SEED),--seed $(SEED)) $(NAMES)

# It has a virtual environment of its own: mutmut brings a dozen packages that nothing else here needs.
MUTATION := $(or $(MCP_CACHE),.cache)/mutation

$(MUTATION)/.ready: constraints/mutation.txt
	mkdir -p $(MUTATION)
	$(PYTHON) -m venv $(MUTATION)/venv
	$(MUTATION)/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r constraints/mutation.txt
	@touch $@

# One module is minutes, all of them are hours; what was judged before is kept. FRESH=1 forgets it,
# QUICK=1 asks no slow tests.
mutation: $(MUTATION)/.ready ## change the code in each small way and see a test fail; MODULE=engine/decide or FILES=...
	PYTHONPATH=tests nice -n 19 $(MUTATION)/venv/bin/python -m mutation --home $(MUTATION)/copy \
	  $(if $(FRESH),--fresh) $(if $(QUICK),--quick) $(MODULE) $(FILES)

e2e: setup ## tests on a real cluster with the chart, the images and the examples
	$(PYTEST) --timeout 900 -rfEP tests/e2e

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

# SEED=... for other dice, PICTURES=docs/pictures to draw. In one process and virtual time: it needs no service.
bench-scaling: setup ## a million decisions of autoscaling, and the same loads with a model of KEDA; some minutes
	PYTHONPATH=bench $(BIN)/python -m autoscaling all $(if $(SEED),--seed $(SEED)) $(if $(PICTURES),--pictures $(PICTURES))

# How much chaos; without SEED a new one is made, and printed. MCP_CLUSTER names another cluster than mcp-chaos.
JOBS ?= 300
MINUTES ?= 10
CHAOS = --jobs $(JOBS) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(GAP),--gap $(GAP)) $(if $(MIX),--mix $(MIX)) \
  $(if $(CHAINS),--chains $(CHAINS)) $(if $(PARTS),--parts $(PARTS))

chaos: setup ## kill, pause and wipe everything at random while jobs flow: JOBS, MINUTES, SEED, GAP, MIX, CHAINS, PARTS
	PYTHONPATH=tests $(BIN)/python -m chaos $(CHAOS)

keda: setup ## KEDA itself scales a pool on a kind cluster, by the how-to; builds it the first time, some twenty minutes
	$(PYTEST) --timeout 3600 -rfEP tests/keda

lock: setup ## write the constraints anew from the declared dependencies
	hack/lock

clean: ## remove what was made here; clusters stay (make down)
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
