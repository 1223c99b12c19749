# `make demo` creates the environment, runs the pipeline and prints the address of its page.
# `make test` runs all checks; `make lint` and `make types` are its quick parts. `make coverage` is
# `make test` with the coverage floor, at a quarter more CPU time. `make attack` kills, fills and
# overtakes real processes, and prints the figures of docs/reliability.md. `make dist` builds the
# wheels of the library and of the trained model, `make docs` the documentation's site.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(BIN):$(PATH)
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false

# An environment that was copied with its project runs the code of the original: it is made anew.
ifneq ($(wildcard $(STAMP)),)
HOME_OF_STAMP := $(shell cat $(STAMP))
ifneq ($(HOME_OF_STAMP),)
ifneq ($(HOME_OF_STAMP),$(CURDIR))
$(shell rm -rf $(VENV))
endif
endif
endif

# uv looks for wheels in a folder only if it is told so; pip does by itself.
UV_ENV = $(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(PIP_FIND_LINKS)" UV_NO_SOURCES=1) UV_COMPILE_BYTECODE=1

.PHONY: demo test attack coverage lint types install dist docs

demo: $(STAMP)
	@python -m tasks.shared.sources
	dvc --wait-for-lock repro
	@echo "Every set: $(CURDIR)/data/gallery.html"

# COVERAGE: options of pytest-cov, none by default
test: lint types
	lint-imports
	pytest -q -n 2 --dist worksteal $(COVERAGE)

coverage: COVERAGE = --cov
coverage: test

# ROUNDS, SEED: length and seed of the attack
attack: $(STAMP)
	pytest -q -m long
	python -m tests.reliability.attack --rounds $(or $(ROUNDS),10) --seed $(or $(SEED),0)

lint: $(STAMP)
	ruff check .
	ruff format --check .

types: $(STAMP)
	mypy -n 2 --strict dualstylegan tasks flows docs examples benchmarks tests

install: $(STAMP)

dist: $(STAMP)
	python -m tasks.distribution

# A warning, such as that of a broken link, fails the build.
docs: $(STAMP)
	sphinx-build -q -W --keep-going -c docs/site -d site/.doctrees . site
	@echo "Documentation: $(CURDIR)/site/index.html"

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt uv || echo "no uv: pip installs, which takes longer"
	if test -x $(BIN)/uv; then \
		$(UV_ENV) $(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e ".[pipeline,dev]"; \
	else false; fi \
	|| $(BIN)/python -m pip install -c constraints.txt -e ".[pipeline,dev]"
	@echo "$(CURDIR)" > $@
