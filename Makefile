PYTHON ?= python3
UV := .venv/bin/uv
LOCKS := requirements-bootstrap requirements lambdas/requirements local/lambda-runtime-requirements
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20

.PHONY: lock
lock: ## Resolve the lock files anew from their .in files
	@for lock in lambdas/requirements $(filter-out lambdas/requirements,$(LOCKS)); do \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-header $$lock.in --output-file $$lock.txt || exit 1; done
