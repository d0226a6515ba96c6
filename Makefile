# `make demo` and `make test` do everything on a fresh machine with Python >= 3.10.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_READY := $(VENV)/.ready-demo
TOOLS_VENV := .venv-tools
TOOLS := $(TOOLS_VENV)/.ready
PINS := pyproject.toml lvt_predict/pyproject.toml constraints.txt
CODE := .ci lvt_core lvt_predict classification segmentation detection configs demo benchmarks tests setup.py hubconf.py
PRODUCT := lvt_core lvt_predict classification segmentation detection demo benchmarks
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile

.PHONY: demo test test-all check lint soak audit sbom bench format clean
.NOTPARALLEL:

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python >= 3.10 is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(READY): $(PINS) | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ./lvt_predict -e '.[dev]'
	$(BIN)/python -m pip check
	@touch $@

$(DEMO_READY): $(PINS) | $(BIN)/python
	@echo "Installing what the demo needs into $(VENV). Most of it is PyTorch with the CUDA packages of PyPI."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ./lvt_predict -e '.[demo]'
	@touch $@

# An environment for development has all that the demo needs.
demo: $(if $(wildcard $(READY)),$(READY),$(DEMO_READY))
	$(BIN)/python -m demo.run

# The fast tests; CI runs `test-all`, which adds the slow ones.
test: $(READY)
	$(PYTEST) -m "not slow"

test-all: $(READY)
	$(PYTEST)

# Lint, and the fast tests of the files that differ from BASE.
BASE ?= HEAD
check: lint
	$(BIN)/python .ci/changed_tests.py $(BASE) | xargs -r $(PYTEST) -m "not slow"

lint: $(READY)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/python .ci/words.py
	$(BIN)/mypy
	$(BIN)/pylint --disable=all --enable=similarities --min-similarity-lines=8 --ignore-imports=yes \
		--ignore-signatures=yes --ignore=work_dirs,out,build --recursive=y $(PRODUCT)

# Kill the trainings of the three tasks a few hundred times (half an hour on two cores).
soak: $(READY)
	$(BIN)/python -m tests.soak.run --json benchmarks/results/soak_cpu.json

# Ask for known vulnerabilities of the locked versions. It fails, too, if their database cannot be asked.
audit: $(TOOLS)
	$(TOOLS_VENV)/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

# List the locked versions in CycloneDX's format.
sbom: $(TOOLS)
	@mkdir -p dist
	$(TOOLS_VENV)/bin/cyclonedx-py requirements constraints.txt --pyproject pyproject.toml \
		--output-reproducible --of JSON --output-file dist/sbom.json

$(TOOLS): Makefile
	$(PYTHON) -m venv $(TOOLS_VENV)
	$(TOOLS_VENV)/bin/python -m pip install --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0
	@touch $@

bench: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.run --json benchmarks/results/run_cpu.json

format: $(READY)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean:
	rm -rf $(VENV) $(TOOLS_VENV) demo/out
