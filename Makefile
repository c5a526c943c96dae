# NoMoat on a fresh machine: Python 3.11 or newer, git and make; Node with npm for `make check` only.
#
#   make demo     set up, run the example pipeline through a live gateway, attack it, verify the log
#   make test     set up and run the tests, as many processes as cores   (make test ARGS='-n 0 -k ranges' for a few)
#   make assistants   install Codex and Claude Code, 800 MB, for the tests that run them
#   make check    format, lint, mypy, pyright, import contracts
#   make beside   install what the benches compare NoMoat with, 50 MB of wheels
#   make bench    measure against the targets; writes bench/latest.json
#   make lock     resolve the pinned requirements    (make lock UPGRADE=1 for newer releases)
#   make clean    remove what these made
#
# Everything lands in .venv and is pinned with hashes. Setup runs again only when a lock changes.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test assistants beside check format lint types pyright contracts bench lock clean

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check --no-input
ARGS ?=

# Paths are relative throughout, so that a checkout under a path with spaces works.
RUNS := $(VENV)/.runs
DEVELOPS := $(VENV)/.develops
PYRIGHT := $(VENV)/pyright
AIDER := $(VENV)/aider
RETRIEVERS := $(VENV)/retrievers

help:
	@sed -n '2,/^$$/s/^#  \{0,1\}//p' Makefile

# -- setting up -------------------------------------------------------------------------------------

# The first of these that is new enough and can make a virtual environment; PYTHON=… names another.
PYTHON ?=
INTERPRETERS := $(or $(PYTHON),python3.11 python3 python3.12 python3.13 python3.14)

$(PY):
	@for python in $(INTERPRETERS); do \
	  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "· making $(VENV) with $$("$$python" --version)"; \
	    exec "$$python" -m venv --clear $(VENV); \
	  fi; \
	done; \
	echo 'NoMoat needs Python 3.11 or newer with its venv module, and found none.' >&2; \
	echo 'Install it (on Debian: apt install python3 python3-venv), or name it: make PYTHON=python3.12' >&2; \
	exit 1

# install(lock, what for): the pinned packages, then NoMoat itself from the working tree.
define install
	@echo '· installing $(1): $(2)'
	@$(PIP) install --require-hashes -r requirements/$(1).txt
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
endef

$(RUNS): requirements/examples.txt pyproject.toml | $(PY)
	$(call install,examples,NoMoat and what its examples need)
	@touch $(RUNS)

# The dev lock holds everything of the examples lock, so that one installation serves both.
$(DEVELOPS): requirements/dev.txt pyproject.toml | $(PY)
	$(call install,dev,NoMoat and what its tests and checks need)
	@touch $(RUNS) $(DEVELOPS)

$(PYRIGHT)/.ready: requirements/pyright/package.json requirements/pyright/package-lock.json | $(PY)
	@command -v npm >/dev/null || { echo 'make check needs Node with npm, for pyright.' >&2; exit 1; }
	@echo '· installing pyright'
	@mkdir -p $(PYRIGHT)
	@cp requirements/pyright/package.json requirements/pyright/package-lock.json $(PYRIGHT)
	@cd $(PYRIGHT) && npm ci --ignore-scripts --omit=optional --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null
	@touch $@

# npm(name, what for): the packages that requirements/NAME pins, into .venv/NAME.
define npm
	@echo '· installing $(2)'
	@mkdir -p $(VENV)/$(1)
	@cp requirements/$(1)/package.json requirements/$(1)/package-lock.json $(VENV)/$(1)
	@cd $(VENV)/$(1) && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error $(3) >/dev/null && touch .ready
endef

# Clients that only tests run. Without one of them its tests are skipped, and say so.
$(AIDER)/.ready: requirements/aider.txt | $(PY)
	@echo '· installing aider, 700 MB, for its test'
	@$(PY) -m venv --clear $(AIDER)
	@$(AIDER)/bin/python -m pip --quiet --disable-pip-version-check --no-input install --require-hashes -r requirements/aider.txt \
	  && touch $@ || echo 'without aider its test is left out' >&2

$(RETRIEVERS)/.ready: requirements/retrievers.txt | $(PY)
	@echo '· installing LangChain and LlamaIndex, for the tests of their retrievers'
	@rm -rf $(RETRIEVERS)
	@$(PIP) install --require-hashes --target $(RETRIEVERS) -r requirements/retrievers.txt \
	  && touch $@ || echo 'without LangChain and LlamaIndex their tests are left out' >&2

$(VENV)/node/.ready: requirements/node/package.json requirements/node/package-lock.json | $(PY)
	$(call npm,node,the clients for Node,--ignore-scripts) || echo 'without npm the tests of clients for Node are left out' >&2

assistants: | $(PY)
	$(call npm,assistants,Codex and Claude Code)

# What benches measure NoMoat beside. What these need in turn is there already, or is not used.
$(VENV)/beside/.ready: requirements/bench.txt $(DEVELOPS)
	@echo '· installing what is measured beside NoMoat'
	@rm -rf $(VENV)/beside
	@$(PIP) install --require-hashes --no-deps --target $(VENV)/beside -r requirements/bench.txt
	@touch $@

beside: $(VENV)/beside/.ready

setup: $(DEVELOPS)

# -- running ----------------------------------------------------------------------------------------

demo: $(RUNS)
	@$(PY) -m examples.pipeline $(ARGS)

# debian(command, package, what is missed without it): a package of Debian, where one may install it.
define debian
	@command -v $(1) >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && echo '· installing $(2)' && apt-get install -qq --no-install-recommends $(2) >/dev/null; } \
	  || echo 'without $(2) $(3) (on Debian: apt install $(2))' >&2
endef

# A process has whole files, so that what a module sets up is set up once, and takes them in order, so that no long file
# is left for the end. What ARGS says comes later and wins: -n 0 runs them all in this process.
test: $(DEVELOPS) $(AIDER)/.ready $(RETRIEVERS)/.ready $(VENV)/node/.ready
	$(call debian,softhsm2-util,softhsm2,the tests of PKCS#11 are left out)
	@$(PY) -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(DEVELOPS) $(VENV)/beside/.ready
	$(call debian,wrk,wrk,there are no figures)
	$(call debian,curl,curl,there are no figures)
	$(call debian,nginx,nginx-light,there are no figures)
	@$(PY) -m bench $(ARGS)

# -- checking ---------------------------------------------------------------------------------------

check: format lint types pyright contracts
	@echo '· every check holds'

format: $(DEVELOPS)
	@echo '· ruff format'
	@$(PY) -m ruff format --quiet --check .

lint: $(DEVELOPS)
	@echo '· ruff check'
	@$(PY) -m ruff check --quiet .

types: $(DEVELOPS)
	@echo '· mypy, strict'
	@$(PY) -m mypy --no-error-summary

pyright: $(DEVELOPS) $(PYRIGHT)/.ready
	@echo '· pyright, strict'
	@report=$$(node $(PYRIGHT)/node_modules/pyright/index.js --pythonpath $(PY)) || { echo "$$report"; exit 1; }

contracts: $(DEVELOPS)
	@echo '· import contracts'
	@report=$$($(VENV)/bin/lint-imports --no-logo) || { echo "$$report"; exit 1; }

# -- keeping ----------------------------------------------------------------------------------------

# Resolved by the pinned uv for Python 3.11 and newer on any platform. The dev lock is resolved first and
# constrains the others, so that all agree.
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --system-certs \
	--python-version 3.11 --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

lock: $(DEVELOPS)
	@echo '· resolving'
	@$(COMPILE) --all-extras pyproject.toml requirements/dev.in -o requirements/dev.txt
	@$(COMPILE) --all-extras pyproject.toml requirements/examples.in -c requirements/dev.txt -o requirements/examples.txt
	@$(COMPILE) --all-extras pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt
	@$(COMPILE) --no-deps requirements/bench.in -o requirements/bench.txt
	@$(COMPILE) requirements/aider.in -o requirements/aider.txt
	@$(COMPILE) requirements/retrievers.in -o requirements/retrievers.txt
	@for name in pyright node assistants; do \
	  (cd requirements/$$name && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null) || exit 1; \
	done

clean:
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .demo build dist bench/latest.json
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
