# make run: environment, then the main job on the real PubMed.   make test: environment, linters, every test.
# make check: environment, then the quick tests: no several workers, no server, no browser, no network, nothing slow.
# make tables: every table and picture that the documentation has of measured rows, from the rows in reports/.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready

WORKFLOWS := $(wildcard .github/workflows/*.yml examples/*/.github/workflows/*.yml)

.PHONY: run check test tables lint format venv clean

run: $(INSTALLED)
	$(BIN)/pdadmm-bench run --dataset pubmed --optimizer all --threads 1

# Two processes of one thread each: the tests start workers of their own, and tiny products get slower with more threads.
# They start hundreds of processes, and each would compile this package anew where byte code is not kept, as in images.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

check: venv
	$(PYTEST) --dist loadscope -m "not (slow or dist or server or browser or network)"

# In the order of the folders: the longest files are not those with the most tests, and cli/, which comes first, has them.
test: venv lint
	$(PYTEST) --dist loadfile --no-loadscope-reorder

tables: venv
	$(BIN)/python tools/docs/everything.py

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint --failure-threshold style Dockerfile
	$(BIN)/shellcheck --severity=style .ci/run runners/layouts.sh runners/slurm/run.sbatch
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(BIN)/kubernetes-validate --strict runners/kubernetes/job.yaml
	$(BIN)/zizmor --offline --no-progress --quiet --config .github/zizmor.yml $(WORKFLOWS)

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

venv: $(READY)

# What a run needs. Torch first: named exactly, pip takes the build that constraints.txt pins; as a range it would take
# the newest one.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pdadmm-bench needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	@echo "1/2 installing torch into $(VENV): 0.9 GB on disk, some minutes on a slow network"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(shell grep '^torch==' constraints.txt)
	@echo "2/2 installing pdadmm-bench and what else a run needs (PyTorch Geometric, MLflow, …): 0.9 GB more"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

# What tests, linters and the site need beside it.
$(READY): $(INSTALLED)
	@echo "installing what tests, linters and the site of the documentation need: 0.5 GB more"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
