# `make demo` and `make test` need only Python 3.11 or newer; they install everything else into .venv.
PYTHON ?= python3
SEEDS ?= 3000
BIN := .venv/bin
# Functions and test workers start often, so bytecode is always cached.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo serve test test-slow simulate bench million soak lint format clean

demo: .venv/local
	@$(BIN)/s3-manifest local demo

serve: .venv/local
	@$(BIN)/s3-manifest local serve

# All tests without Docker, except the slow ones. Takes some minutes.
test: .venv/dev
	@$(BIN)/pytest -n 3 --dist worksteal -m "not sam_local and not slow" --ignore tests/readers

# The local stack with hundreds of uploads, messages and requests to each route; and exports, read by the libraries that
# users read them with.
test-slow: .venv/readers
	@READERS_REQUIRED=1 $(BIN)/pytest -n 2 -m "slow or readers"

# Simulates the commit protocol with seeds 0 … SEEDS-1, then reports how soon each mutant is caught.
simulate: .venv/dev
	@cd tests && ../$(BIN)/python -m simulation --seeds $(SEEDS)
	@cd tests && ../$(BIN)/python -m simulation --seeds $(SEEDS) --mutants

# A table of goals and results, with details: counts, ratios within the run, virtual time. Compares the client with rclone,
# the AWS CLI, s5cmd and DVC, which it installs into .local. Takes almost an hour; fifteen minutes without the client. For
# less, see python -m benchmarks --help.
bench: .venv/dev
	@$(BIN)/python -m benchmarks

# A million files in one collection: backfilled, changed, swept and read. Takes some minutes. For a hundred thousand on the
# local stack: make million MILLION=--local
million: .venv/dev
	@$(BIN)/python -m benchmarks.million $(MILLION)

# 10,000 uploads to the local stack while its functions are killed; the manifest must equal the bucket.
soak: .venv/dev
	@$(BIN)/python -m benchmarks.soak

lint: .venv/dev
	@$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy && $(BIN)/mypy --config-file tests/mypy.ini

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
