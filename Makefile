# Everything runs from .venv; a target makes it first, once, and again only when the pins change.
#   make demo                      see it work          make test check      before you push
#   make demo DEMO_SECONDS=30      the same, ends by itself
#   make demo DATA=ticks.parquet   your recorded ticks instead of the simulated market

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

DEMO_SECONDS ?=
DATA ?=
EXTRAS ?= dev
BENCH ?= ticks
PYTEST_ARGS ?=
GPU_EXTRAS := dev,gpu,bench
# Test processes; each file stays in one process.
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
FOLDERS := schemas streams agents orchestrator tapestream bench
# The name of the stamp is what was installed: other pins, other extras or another Python make another name.
WANTED := $(shell { cat pyproject.toml constraints.txt; echo "$(EXTRAS)"; pwd; } | cksum | cut -d' ' -f1)
STAMP := $(VENV)/.installed-$(WANTED)

# The first Python of 3.11 to 3.13 on the PATH, or the one that the caller names.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c "$(FITS)" >/dev/null 2>&1 && { echo "$$p"; break; }; done)

.PHONY: help setup demo up broker test test-fast test-faults test-docker check check-gpu check-gpu-names test-gpu bench-gpu format bench docs docs-gpu pins clean purge

help: ## what there is
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(STAMP) ## make .venv with the pinned packages (EXTRAS=dev,gpu for cuDF)
	@echo "$(VENV) is ready"

$(STAMP):
	@"$(PYTHON)" -c "$(FITS)" 2>/dev/null || { \
		echo "error: Python 3.11, 3.12 or 3.13 is needed, here is $$("$(PYTHON)" --version 2>/dev/null || python3 --version 2>/dev/null || echo none) (install one, or name it: make setup PYTHON=/path/to/python3.12)" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 && $(BIN)/python -c "$(FITS)" \
		|| { echo "making $(VENV) with $$("$(PYTHON)" --version)"; "$(PYTHON)" -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@echo "installing the pinned packages into $(VENV) (several GB with torch; minutes the first time)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[$(EXTRAS)]" \
		|| { echo "uv did not manage, trying pip, which knows pip's own configuration"; \
		$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"; }
	@echo "compiling what the pipeline imports, once"
	@$(BIN)/python -P -m tapestream.bytecode || echo "not compiled: each process does it when it starts"
	@rm -f $(VENV)/.installed-* && touch $(STAMP)

demo: $(STAMP) ## broker, worker, market and live signals (DEMO_SECONDS=30 ends by itself, DATA=path replays)
	@$(BIN)/tapestream demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS)) $(if $(DATA),--data "$(DATA)")

up: $(STAMP) ## the pipeline without a market, in one terminal
	@$(BIN)/tapestream up

broker: $(STAMP) ## Apache Kafka alone, on port 9092
	@$(BIN)/tapestream broker

test: test-fast test-faults ## all tests, with an Apache Kafka of their own

# Within a file tests run in order in one process; the fault tests load both cores and so run alone.
test-fast: $(STAMP) ## the tests that kill nothing
	$(BIN)/pytest -q -n $(JOBS) --dist loadfile -m "not faults" $(PYTEST_ARGS)

test-faults: $(STAMP) ## the tests that kill workers and brokers under load
	$(BIN)/pytest -q -m faults $(PYTEST_ARGS)

test-docker: $(STAMP) ## the tests that need a broker, on Kafka in a container (needs a Docker engine)
	@command -v docker >/dev/null && docker info >/dev/null 2>&1 || { \
		echo "error: no Docker engine answers (start Docker; or run make test, which needs none)" >&2; exit 1; }
	TAPESTREAM_TEST_DOCKER=1 $(BIN)/pytest -q -m kafka $(PYTEST_ARGS)

check: $(STAMP) ## lint, format, types, direction of imports, generated documents up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tapestream.reference --check

check-gpu: $(STAMP) ## what can be known of the GPU path without a GPU: PTX, simulator, shapes, memory (2 minutes)
	$(BIN)/pytest -q -n $(JOBS) --dist loadfile -m gpu_path $(PYTEST_ARGS)

# The GPU packages take 1.5 GB more and have an environment of their own.
check-gpu-names: ## every cuDF, CuPy, RMM, numba-cuda and NVML name in the code against the packages (several GB)
	@$(MAKE) --no-print-directory setup VENV=.venv-gpu EXTRAS=$(GPU_EXTRAS)
	.venv-gpu/bin/python -m tapestream.gpucheck names

# Refuses before it installs anything for a GPU that is not there.
test-gpu bench-gpu: $(STAMP)
	@$(BIN)/python -m tapestream.gpucheck present
	@$(MAKE) --no-print-directory setup VENV=.venv-gpu EXTRAS=$(GPU_EXTRAS)
	.venv-gpu/bin/python -m tapestream.gpucheck $(@:-gpu=)

test-gpu: ## on a machine with a GPU: every gpu test, into gpu-report.md
bench-gpu: ## on a machine with a GPU: every benchmark that has a device, CPU beside GPU, into gpu-report.md

format: $(STAMP) ## let ruff rewrite the code
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: $(STAMP) ## one benchmark as one JSON object (BENCH=NAME; tapestream bench --help lists them)
	@$(BIN)/tapestream bench $(BENCH) --json

docs-gpu: $(STAMP) ## compile the CUDA kernels, write what they need to docs/gpu-kernels.json, then docs/gpu.md anew
	$(BIN)/python -m tapestream.gpucheck kernels
	@$(MAKE) --no-print-directory docs

docs: $(STAMP) ## write the generated documents anew: docs/schemas, docs/cli.md, docs/settings.md, docs/topics.md
	$(BIN)/python -m tapestream.reference

pins: $(STAMP) ## resolve constraints.txt anew from pyproject.toml
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --no-annotate --no-header --upgrade \
		pyproject.toml -o constraints.txt.new
	{ sed -n '/^#/p' constraints.txt; echo "uv==$$($(BIN)/uv --version | cut -d' ' -f2)"; cat constraints.txt.new; } > constraints.txt.all
	rm constraints.txt.new && mv constraints.txt.all constraints.txt

clean: ## caches and build outputs
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(FOLDERS) tests -name __pycache__ -type d -prune -exec rm -rf {} +

purge: clean ## also .venv, .venv-gpu and the data folder .tapestream
	rm -rf $(VENV) .venv-gpu .tapestream
