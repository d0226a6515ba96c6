# `make demo` and `make test` do everything on a fresh machine with Python >= 3.10.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := lvt_core classification segmentation detection configs demo benchmarks tests setup.py

.PHONY: demo test lint bench format clean
.NOTPARALLEL:

$(READY): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python >= 3.10 is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip check
	@touch $@

demo: $(READY)
	$(BIN)/python -m demo.run

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(READY)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/mypy detection/tools  # its modules have the names of those of segmentation
	$(BIN)/pylint --disable=all --enable=similarities --min-similarity-lines=8 \
		--ignore-imports=yes --ignore-signatures=yes --ignore=work_dirs,out --recursive=y lvt_core classification segmentation detection demo benchmarks

bench: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.run --json benchmarks/results/run_cpu.json

format: $(READY)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean:
	rm -rf $(VENV) demo/out
