# `make demo` shows what pergai does, `make test` proves it. Both install first what is missing; the second time that is nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
comma := ,
EXTRAS := dev$(if $(wildcard /proc/driver/nvidia/version),$(comma)cuda)

export PERGAI_HOME ?= $(CURDIR)/data

PACKAGES := $(VENV)/.packages

.DEFAULT_GOAL := help
.PHONY: help install demo serve doctor test test-fast campaign lint format

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(PACKAGES) ## Packages into .venv, embedded weights into the data folder
	@$(BIN)/pergai models pull --embedded

demo: install ## A product photo through the whole API; leaves demo/index.html
	$(BIN)/pergai demo

serve: install ## The server on port 3002 (PERGAI_PORT)
	$(BIN)/pergai serve

doctor: install ## What this machine lacks
	$(BIN)/pergai doctor

# Tests use the weights that `make install` fetched.
test test-fast campaign: export PERGAI_WEIGHTS ?= $(PERGAI_HOME)/weights

# What only computes runs beside what waits for a server's answers, and gives way to it.
COMPUTING := tests/diffusion tests/imaging tests/operations tests/runners

test: install lint ## Everything: linters, types, layers, tests on real weights
	@nice -n 15 $(BIN)/pytest $(COMPUTING) > $(VENV)/computing.log 2>&1 & computing=$$!; \
	trap 'kill $$computing 2> /dev/null' INT TERM; \
	$(BIN)/pytest $(addprefix --ignore=,$(COMPUTING)); serving=$$?; \
	wait $$computing; computed=$$?; cat $(VENV)/computing.log; \
	exit $$((serving | computed))

test-fast: install ## The tests that take less than about ten seconds each
	$(BIN)/pytest -m "not slow"

campaign: install ## The reliability drills at length (OPTIONS="--kills 1000 --minutes 60")
	$(BIN)/python -m benchmarks.reliability $(OPTIONS)

lint: $(PACKAGES) ## Style, types, import layers, the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict -p pergai
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile.cuda

format: $(PACKAGES) ## Rewrite the code as `make lint` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "pergai needs Python 3.11 or newer; name one with 'make PYTHON=/path/to/python3.11'"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; on Debian, apt-get install python3-venv"; exit 1; }

$(PACKAGES): pyproject.toml configs/constraints.txt | $(BIN)/python
	@$(BIN)/python -m pip install --disable-pip-version-check -c configs/constraints.txt -e '.[$(EXTRAS)]' \
		|| { echo; echo "pip could not install what configs/constraints.txt pins (the last lines above say which package)."; \
		     echo "The index must carry wheels for $$($(BIN)/python -c 'import platform, sys; print("Python %d.%d on" % sys.version_info[:2], platform.system(), platform.machine())');"; \
		     echo "point pip at one that does, e.g. with PIP_INDEX_URL or PIP_FIND_LINKS."; exit 1; }
	@touch $@
