# The commands of the project. Each makes what it needs, may be repeated, and works as root and as an
# ordinary user; all they ask for is make and Python 3.11 or newer (make PYTHON=/path/to/python3.12 ...).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
unexport PYTHONHOME PYTHONPATH

PYTHON ?= python3
ARGS ?=
PYTEST_ARGS ?= -n 2
LOCK_ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PIP := $(RUN) -m pip -qq --disable-pip-version-check --no-input

.PHONY: help venv demo ui psql metrics backup restore migrate stop test check bench conformance lock audit clean

help: ## these lines
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

venv: $(INSTALLED) ## the environment in .venv, exactly as the lock file says
	@:

demo: $(INSTALLED) ## the whole story on this machine; ARGS='--size 5000' for a smaller registry
	@exec $(RUN) -m meva_pipelines.local demo $(ARGS)

ui: $(INSTALLED) ## Dagster's web interface and daemon on the state that the demo left
	@exec $(RUN) -m meva_pipelines.local ui $(ARGS)

psql: $(INSTALLED) ## a SQL prompt on the warehouse; ARGS="-c 'select 1'" is passed on
	@exec $(RUN) -m meva_pipelines.local psql $(ARGS)

metrics: $(INSTALLED) ## the metrics of the syncs for Prometheus on loopback; ARGS='--port 9464'
	@exec $(RUN) -m meva_pipelines.local metrics $(ARGS)

backup: $(INSTALLED) ## backups at once; ARGS='--trigger system_shutdown' says why
	@exec $(RUN) -m meva_pipelines.local backup $(ARGS)

restore: $(INSTALLED) ## a whole server from its backups; ARGS='--into DIR --at MOMENT'
	@exec $(RUN) -m meva_pipelines.local restore $(ARGS)

migrate: $(INSTALLED) ## the schema of the warehouse and of Dagster's storage, brought up to date
	@exec $(RUN) -m meva_pipelines.local migrate

stop: $(INSTALLED) ## stop the embedded PostgreSQL
	@exec $(RUN) -m meva_pipelines.local stop

test: $(INSTALLED) ## the test suite; PYTEST_ARGS='-n 2 -k archive' is passed on
	@exec $(RUN) -m pytest -q $(PYTEST_ARGS)

check: $(INSTALLED) ## format, lint, types, the lock file, and that Dagster can load the location
	@$(RUN) -m ruff format --quiet --check .
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m mypy --no-error-summary
	@$(RUN) -m pip --disable-pip-version-check check >/dev/null \
		|| { $(RUN) -m pip --disable-pip-version-check check; exit 1; }
	@$(RUN) -m pytest -q --no-header -p no:cacheprovider meva_pipelines_tests/test_lock.py >/dev/null \
		|| { $(RUN) -m pytest -q meva_pipelines_tests/test_lock.py; exit 1; }
	@home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; touch "$$home/dagster.yaml"; \
		DAGSTER_HOME=$$home $(RUN) -W 'ignore:Function `definitions_validate_command` is superseded' \
		-m dagster definitions validate --workspace workspace.yaml --log-level warning
	@echo "check: format, lint, types, lock file and definitions are in order"

bench: $(INSTALLED) ## what the designs promise in seconds and bytes, measured here
	@exec $(RUN) -m meva_pipelines_tests.bench $(ARGS)

conformance: $(INSTALLED) ## the readers and formulas against measured reference data
	@exec $(RUN) -m pytest -q -m conformance $(PYTEST_ARGS)

lock: $(INSTALLED) ## write requirements.lock from setup.py; LOCK_ARGS=--upgrade takes what is newest
	@$(RUN) -m uv pip compile setup.py --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-build-isolation --no-strip-extras --no-header --quiet --output-file requirements.lock $(LOCK_ARGS) >/dev/null

audit: $(INSTALLED) ## known vulnerabilities of what the lock file pins (asks a public service)
	@exec $(RUN) -m pip_audit --requirement requirements.lock --disable-pip --require-hashes

clean: ## remove .venv and what tools left behind; the state in .meva stays
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build meva_pipelines.egg-info
	@find meva_pipelines meva_pipelines_tests -type d -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): requirements.lock setup.py
	@command -v '$(PYTHON)' >/dev/null \
		|| { echo "no '$(PYTHON)' here; install Python 3.11 or newer, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$$('$(PYTHON)' --version 2>&1) is too old; 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing into $(VENV), a minute or two the first time"
	@$(RUN) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || rm -rf $(VENV)
	@'$(PYTHON)' -m venv $(VENV)
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
