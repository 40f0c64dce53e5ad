# Two commands for newcomers: `make demo` and `make test`. Each makes the
# virtual environment that it needs. The rest is for developers.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-slow lint clean

help:
	@echo "make demo       photographs -> training -> search -> demo/report.html"
	@echo "make test       the test suite"
	@echo "make test-slow  the tests that take minutes"
	@echo "make lint       style and import rules"
	@echo "make clean      remove the virtual environment and the demo's files"

demo: $(VENV)/installed-demo
	@$(BIN)/python tools/run_demo.py --output_directory=demo

# With what others wrote for the same formulas, to compare with.
test: $(VENV)/installed-test,reference
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

test-slow: $(VENV)/installed-test,reference
	@$(BIN)/python -m pytest -m slow

lint: $(VENV)/installed-test,reference
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

clean:
	rm -rf $(VENV) demo

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else "delg-tf needs Python 3.10 to 3.13, this is %d.%d; name another one: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)

# An installation for one purpose is redone when the requirements change.
$(VENV)/installed-%: setup.py pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@
