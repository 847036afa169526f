# Commands for people who work on this. `make` alone lists them.

VENV ?= .venv
PORT ?=
DATA_DIR ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1

STAMP := $(VENV)/.made
TEST_STAMP := $(VENV)/.made-test
BENCH_STAMP := $(VENV)/.made-bench
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test coverage lint types docs bench bench-bulk bench-realtime where clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: $(STAMP) ## Start everything for development (PORT=7000, DATA_DIR=/somewhere)
	@exec $(BIN)/marketplace-admin --ini development.ini up $(if $(PORT),--port "$(PORT)") $(if $(DATA_DIR),--data-dir "$(DATA_DIR)")

test: $(TEST_STAMP) lint types ## Lint, types and all tests
	$(BIN)/python -m pytest -n 3 -q $(ARGS)

coverage: $(TEST_STAMP) ## All tests, and which lines they miss
	$(BIN)/python -m pytest -n 3 -q --cov --cov-report=term:skip-covered $(ARGS)

lint: $(TEST_STAMP) ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .

types: $(TEST_STAMP) ## Check types
	$(BIN)/mypy

docs: $(TEST_STAMP) ## Write the tables of docs/reference anew
	$(BIN)/python -m tests.support.reference_docs

bench: $(BENCH_STAMP) ## Measure everything, half an hour long: speed against other frameworks, and the two below
	$(BIN)/python -m bench
	$(BIN)/python -m bench.moderation
	$(BIN)/python -m bench.realtime

bench-bulk: $(BENCH_STAMP) ## Measure moderation of 100,000 listings and its undoing
	$(BIN)/python -m bench.moderation

bench-realtime: $(BENCH_STAMP) ## Measure how soon what happens reaches 2,000 clients
	$(BIN)/python -m bench.realtime

LAYERS := config database models diagnostics gateways domain backup security resources schemas hal views jobs realtime cli

where: ## Where a noun's code lives, layer by layer (D=listings)
	@test -n "$(D)" || { echo "Say which: make where D=listings"; exit 2; }
	@found=$$(for layer in $(LAYERS); do \
		find marketplace_api/$$layer \( -path '*/$(D).py' -o -path '*/$(D)/*.py' \) | sort | sed "s|^|$$layer |"; \
	done); \
	if [ -z "$$found" ]; then \
		nouns=$$(ls marketplace_api/models/*/*.py | sed -n 's|.*/\([a-z][a-z_]*\)\.py$$|\1|p' | sort -u | tr '\n' ' '); \
		echo "Nothing is called $(D); try one of: $$nouns"; exit 2; \
	fi; \
	tests=$$(find tests -name '*.py' -not -path '*/node_modules/*' | grep -E '[/_]$(patsubst %s,%,$(D))s?[/_.]' | sort | sed 's|^|tests |'); \
	printf '%s\n' "$$found" "$$tests" | awk 'NF { printf "  %-12s %s\n", $$1, $$2 }'

clean: ## Remove what was generated, except .venv and var
	rm -rf build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -path ./var -prune -o -name __pycache__ -type d -print | xargs rm -rf

# One environment, made once, and refreshed when the list of dependencies changes.
$(STAMP): setup.cfg pyproject.toml
	@sh .ci/make-venv "$(VENV)" "."
	@touch $@

$(TEST_STAMP): $(STAMP)
	@sh .ci/make-venv "$(VENV)" ".[test]"
	@touch $@

$(BENCH_STAMP): $(STAMP)
	@sh .ci/make-venv "$(VENV)" ".[test,bench]"
	@touch $@
