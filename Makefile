PYTHON ?= python3
UV := .venv/bin/uv
RUN := .venv/bin/python
LOCKS := requirements-bootstrap lambdas/requirements local/lambda-runtime-requirements requirements
STAMP := .venv/.set-up
# The CDK's bridge greets a Node.js that is past its end of life with a page of text.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20

.PHONY: help setup demo test lint format synth bench lock clean missing-node-modules

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## Install everything into .venv/ and node_modules/, from the lock files

$(STAMP): $(addsuffix .txt,$(LOCKS)) package-lock.json $(if $(wildcard node_modules),,missing-node-modules)
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d: make PYTHON=python3.13 ..." % sys.version_info[:2])'
	@command -v npm >/dev/null || { echo "Node.js 20 or later with npm is needed: install it first"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-bootstrap.txt
	$(UV) pip install --quiet --python .venv/bin/python --require-hashes --requirement requirements.txt
	$(UV) venv --quiet --clear --python .venv/bin/python .venv/lambda-runtime
	$(UV) pip install --quiet --compile-bytecode --python .venv/lambda-runtime/bin/python --require-hashes --requirement local/lambda-runtime-requirements.txt
	npm ci --silent --no-fund --no-audit
	@touch $@

demo: $(STAMP) ## Summarize the recorded sample traces on this machine
	@$(RUN) -m local demo

test: $(STAMP) ## Run every test; the slowest are told at the end
	$(RUN) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations=15

lint: $(STAMP) ## Check style and types
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy

format: $(STAMP) ## Format the code
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

synth: $(STAMP) ## Synthesize the CDK app into cdk.out/
	PATH="$(CURDIR)/.venv/bin:$$PATH" npx cdk synth --quiet --no-notices --no-lookups

bench: $(STAMP) ## Measure; each benchmark also runs alone: python -m bench NAME --json
	$(RUN) -m bench all

lock: ## Resolve the lock files anew from their .in files
	@for lock in $(LOCKS); do \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-header $$lock.in --output-file $$lock.txt || exit 1; done

clean: ## Remove everything that is made here
	rm -rf .venv node_modules .local cdk.out .pytest_cache .mypy_cache .ruff_cache .hypothesis
