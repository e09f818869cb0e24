# Everything a contributor does. `make` alone explains itself.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## Check the machine, create .venv, install the locked dependencies

$(STAMP): requirements.lock pyproject.toml tools/check_machine.sh
	@PYTHON="$(PYTHON)" tools/check_machine.sh
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# The lock is whole, so nothing is resolved: older pips do not find `coverage[toml]` in it.
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

NPM_STAMP := contracts/node_modules/.package-lock.json

# Not `npm ci`: it refuses a lock without the packages of every platform, and the registries do not
# all have those of Foundry. What the lock has is installed as locked and checked by its digest.
$(NPM_STAMP): contracts/package.json contracts/package-lock.json
	@command -v npm >/dev/null || { echo "modelex: the contracts need Node 20 or newer with npm" >&2; exit 1; }
	cd contracts && npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: contracts
contracts: setup $(NPM_STAMP) ## Compile the contracts and write their artifacts into the package
	$(BIN)/python contracts/tools/build.py

.PHONY: test
test: setup $(NPM_STAMP) ## Lint, check types, run every test: what must pass before a commit
	@# Compiling the contracts keeps one core busy for half a minute, as linters and types do.
	$(MAKE) --no-print-directory -j2 --output-sync=target test-contracts lint types
	$(MAKE) --no-print-directory test-python

.PHONY: test-python
test-python: setup $(NPM_STAMP) ## Run every Python test; branch coverage of core/ and records/ must be 100%
	@# In the tree's order: by number of tests, files with one long test come last, and cores idle.
	$(BIN)/python -m pytest --cov -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: test-contracts
test-contracts: setup $(NPM_STAMP) ## Run the contracts' unit, fuzz and invariant tests under forge
	cd contracts && FORGE_SNAPSHOT_CHECK=true node_modules/.bin/forge test

.PHONY: coverage-contracts
coverage-contracts: setup $(NPM_STAMP) ## Show what of contracts/src the tests run, and fail if that is not all of it
	cd contracts && node_modules/.bin/forge coverage --out cache/coverage --cache-path cache/coverage \
	    --exclude-tests --no-match-coverage '^test/' --no-match-path 'test/Gas*' | grep '^|' | tee cache/coverage.txt
	@! grep '^| src/' contracts/cache/coverage.txt | grep -Ev '(100\.00% .*){4}'

SLITHER := $(CURDIR)/.slither

# In an environment of its own, since it pins an older web3.
$(SLITHER)/bin/slither:
	$(PYTHON) -m venv $(SLITHER)
	$(SLITHER)/bin/python -m pip install --quiet slither-analyzer==0.11.6

.PHONY: slither
slither: setup $(NPM_STAMP) $(SLITHER)/bin/slither ## Analyse the contracts with Slither; contracts/SECURITY.md answers what it finds
	cd contracts && PATH="$$PWD/node_modules/.bin:$$PATH" $(SLITHER)/bin/slither . --fail-none \
	    --filter-paths 'node_modules|test' --exclude-informational --exclude-optimization

.PHONY: lint
lint: setup ## Check style, formatting and the import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: types
types: setup ## Check types (mypy, strict)
	$(BIN)/mypy

.PHONY: format
format: setup ## Format the code and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: vectors
vectors: setup ## Rewrite the vectors of protocols/; read the difference before committing it
	for file in $$(git ls-files 'tests/**/make_vectors.py'); do \
	    module=$${file%.py}; $(BIN)/python -m $${module//\//.}; done

.PHONY: lock
lock: ## Resolve pyproject.toml again into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra llamacpp --extra pyevm --extra simulate --extra dask --extra bench --group dev --universal \
	    --python-version 3.11 --generate-hashes --upgrade --no-emit-index-url --no-header \
	    --quiet -o requirements.lock

SECONDS := 60
ATHERIS := $(VENV)/.atheris

$(ATHERIS): pyproject.toml $(STAMP)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --group fuzz || { echo "modelex: atheris, the fuzzer,\
	 has wheels for Linux on x86-64 with CPython 3.11 to 3.13; elsewhere: make test runs its corpus" >&2; exit 1; }
	@touch $@

.PHONY: fuzz
fuzz: $(ATHERIS) ## Fuzz every parser and machine for SECONDS=60 in all (tests/fuzz/README.md)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(TARGETS)

.PHONY: upstream
upstream: setup ## Show which faults of py-libp2p (docs/upstream) are still there
	@for file in docs/upstream/*.py; do $(BIN)/python -W ignore $$file >/dev/null 2>&1 \
	    && echo "there  $$file" || echo "GONE   $$file"; done

.PHONY: bench
bench: setup ## Measure what things cost against their limits (6 minutes; docs/performance.md)
	$(BIN)/python -m benchmarks

.PHONY: attacks
attacks: setup ## Attack a node on real sockets and print the tables of docs/reliability.md
	$(BIN)/python -m pytest tests/attacks -q -m "attack or quick"

JS := tests/interop/js
JS_STAMP := $(JS)/node_modules/.package-lock.json

# Not `npm ci`, as above. Node 22 comes from npm where the system's is older (Linux on x86-64).
$(JS_STAMP): $(JS)/package.json $(JS)/package-lock.json
	@command -v npm >/dev/null || { echo "modelex: the interop tests need Node with npm" >&2; exit 1; }
	cd $(JS) && npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

OPENAI_JS := tests/interop/openai
OPENAI_JS_STAMP := $(OPENAI_JS)/node_modules/.package-lock.json

$(OPENAI_JS_STAMP): $(OPENAI_JS)/package.json $(OPENAI_JS)/package-lock.json
	@command -v npm >/dev/null || { echo "modelex: the interop tests need Node with npm" >&2; exit 1; }
	cd $(OPENAI_JS) && npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

CLIENTS := tests/interop/clients
CLIENTS_STAMP := $(CLIENTS)/.venv/.installed

# In an environment of their own: a hundred packages that nothing else here needs.
$(CLIENTS_STAMP): $(CLIENTS)/requirements.txt
	$(PYTHON) -m venv $(CLIENTS)/.venv
	$(CLIENTS)/.venv/bin/python -m pip install --quiet -r $(CLIENTS)/requirements.txt
	@touch $@

.PHONY: interop
interop: setup $(JS_STAMP) $(OPENAI_JS_STAMP) $(CLIENTS_STAMP) ## Meet a js-libp2p peer, OpenAI's npm package, litellm and LangChain
	$(BIN)/python -m pytest tests/interop -q -m interop

.PHONY: town
town: setup ## Map 1,000 headlines over a farm of processes, one killed and one joining on the way (1 minute)
	$(BIN)/python -m pytest tests/node/mapping -q -m town

.PHONY: bench-gossip
bench-gossip: setup $(JS_STAMP) ## Measure our gossip against js-libp2p's gossipsub (2 minutes; needs npm)
	$(BIN)/python -m benchmarks gossip

.PHONY: bench-simulators
bench-simulators: setup $(JS_STAMP) ## Measure our simulator, SimPy, py-libp2p and js-libp2p on the same gossip (10 minutes; needs npm)
	$(BIN)/python -m benchmarks simulators

.PHONY: calibrate
calibrate: setup ## Hold the simulator's models to py-libp2p in memory, to hosts and to nodes on TCP (7 minutes)
	$(BIN)/python -m benchmarks.calibration

.PHONY: lossy
lossy: setup ## Hold the simulator's TCP to Linux's over a lossy link (6 minutes; needs root)
	$(BIN)/python -m benchmarks.calibration.lossy

PROMPTS ?= 10000

.PHONY: bench-map
bench-map: setup ## Measure a map of PROMPTS=10000 over 8 members, and as many each over 1, 2, 4 (8 minutes)
	MODELEX_BENCH_PROMPTS=$(PROMPTS) $(BIN)/python -m benchmarks map

.PHONY: bench-router
bench-router: setup ## Measure haproxy, nginx, vllm-router, sglang-router, LiteLLM and us (15 minutes)
	$(BIN)/python -m benchmarks.router

SEED ?= 1
JOBS ?= 200

.PHONY: chaos
chaos: setup ## Kill and freeze real processes through JOBS paid jobs (5 minutes); SEED repeats a schedule
	$(BIN)/python -m tests.chaos --seed $(SEED) --jobs $(JOBS)

.PHONY: vopr
vopr: setup ## Play random worlds with faults and liars for SECONDS=60, everything checked; SEED is the first
	$(BIN)/python -m tests.vopr --seed $(SEED) --seconds $(SECONDS)

STEPS ?= 10000

.PHONY: replays
replays: setup ## Do by the contracts, on anvil, what simulated runs did on their ledger, and compare (5 minutes)
	$(BIN)/python -m tests.chain.replay reorg --set registers=true
	$(BIN)/python -m tests.chain.replay censorship --set fault.0.share=0.995
	$(BIN)/python -m tests.chain.replay jobs

LIMIT ?= 900
ONLY ?=

.PHONY: results
results: setup ## Run every scenario as it stands, LIMIT=900 seconds each; write simulations/results/scenarios.md
	$(BIN)/python -m benchmarks.results --limit $(LIMIT) --only $(ONLY)

.PHONY: agreement
agreement: setup ## Do STEPS random acts on the ledgers in memory and on anvil, and compare (3 minutes)
	MODELEX_AGREEMENT_STEPS=$(STEPS) $(BIN)/python -m pytest tests/chain/test_agreement.py -q

.PHONY: demo
demo: setup ## Run the whole story on this machine: chain, bootstrap, five nodes, a paying client
	$(BIN)/modelex demo

.PHONY: demo-up
demo-up: setup ## As demo, and leave the mesh running to play with
	$(BIN)/modelex demo --stay

.PHONY: clean
clean: ## Remove what was built; .venv too
	rm -rf $(VENV) $(SLITHER) .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage \
	    contracts/out contracts/cache contracts/node_modules \
	    tests/interop/js/node_modules tests/interop/openai/node_modules $(CLIENTS)/.venv tests/fuzz/work tests/fuzz/crashes
