# The second command of the README: installs what the tests need in .venv and runs all of them.
.PHONY: test check soak format methods environment model

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin

test: environment model
	$(BIN)/python -m pytest -m "not soak" -n auto --maxprocesses 4 --dist loadgroup

# Lint, types, the import contract, unused and missing dependencies, spelling, tidiness.
check: environment
	$(BIN)/ruff check src tests scripts
	$(BIN)/ruff format --check src tests scripts
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/codespell src tests docs scripts README.md CHANGELOG.md ARCHITECTURE.md
	$(BIN)/python scripts/generate_methods.py --check
	$(BIN)/python -m pytest -q -p no:randomly tests/test_tidy.py

# What takes minutes: 1,000 rounds of kill -9, and the like.
soak: environment
	$(BIN)/python -m pytest -m soak --timeout 7200

format: environment
	$(BIN)/ruff check --fix src tests scripts
	$(BIN)/ruff format src tests scripts

methods: environment
	$(BIN)/python scripts/generate_methods.py
	$(BIN)/ruff check --quiet --select I --fix src/cortex/methods.py
	$(BIN)/ruff format src/cortex/methods.py

# Tests that need the model say so and are skipped where it cannot be had.
model: environment
	@$(BIN)/cortex model pull || echo "going on without the model" >&2

environment: .venv/ready

.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { apt-get update && apt-get install -y python3-venv && $(PYTHON) -m venv .venv; }
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group test --group check
	touch .venv/ready
