# `make demo` and `make test` need Python 3.11 or newer, and nothing else: the rest they install into .venv.
PYTHON ?= python3
SEEDS ?= 3000
BIN := .venv/bin
# Functions and the workers of the tests start often: what they compile is kept, whatever the shell is set to.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo serve test test-slow simulate bench million soak lint format clean

demo: .venv/local
	@$(BIN)/s3-manifest local demo

serve: .venv/local
	@$(BIN)/s3-manifest local serve

# All tests that need no Docker, but for the slow ones: some minutes.
test: .venv/dev
	@$(BIN)/pytest -n 3 --dist worksteal -m "not sam_local and not slow" --ignore tests/readers

# The local stack with hundreds of uploads, messages and requests to each route; and exports, read by what reads them
# elsewhere.
test-slow: .venv/readers
	@READERS_REQUIRED=1 $(BIN)/pytest -n 2 -m "slow or readers"

# The commit protocol against seeds 0 … SEEDS-1, and what it takes to catch each mutant of it.
simulate: .venv/dev
	@cd tests && ../$(BIN)/python -m simulation --seeds $(SEEDS)
	@cd tests && ../$(BIN)/python -m simulation --seeds $(SEEDS) --mutants

# A table of aims and results, and the tables behind it: counts, ratios within the run, and virtual time; and the
# client beside rclone, the AWS CLI, s5cmd and DVC, which it installs into .local. Most of an hour, fifteen minutes of it for
# all but the client: python -m benchmarks --help tells how to have less.
bench: .venv/dev
	@$(BIN)/python -m benchmarks

# A million files in one collection: backfilled from nothing, changed, swept, and read back. Some minutes. With --local, a
# hundred thousand on the local stack: make million MILLION=--local
million: .venv/dev
	@$(BIN)/python -m benchmarks.million $(MILLION)

# 10,000 uploads through the local stack while its functions die: the manifest must equal the bucket.
soak: .venv/dev
	@$(BIN)/python -m benchmarks.soak

lint: .venv/dev
	@$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy

format: .venv/dev
	@$(BIN)/ruff check --fix && $(BIN)/ruff format

clean:
	rm -rf .venv .local .aws-sam

.venv/local: pyproject.toml layers/manifest/requirements.txt cli/requirements.txt cli/requirements-local.txt
	@$(call install,local)

.venv/dev: pyproject.toml layers/manifest/requirements.txt cli/requirements.txt cli/requirements-local.txt tests/requirements.txt
	@$(call install,dev)
	@touch .venv/local

.venv/readers: .venv/dev cli/requirements-parquet.txt tests/requirements-readers.txt
	@$(call install,readers)

define install
	echo "Installing into .venv (once; about a minute) …"; \
	test -x $(BIN)/python || $(PYTHON) -m venv .venv; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(1)]' && touch $@
endef
