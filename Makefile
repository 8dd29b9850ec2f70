# make tune   set up on first use, then tune a real corpus: the docstrings of this Python
# make test   set up on first use, then check the style and the types, and run all tests
# make clean  remove the virtual environment

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DELETE_ON_ERROR:
.PHONY: tune test check test-nodes test-all-else clean

tune: $(VENV)/installed
	$(BIN)/ntm-ray tune --trials 100

test: check
	@$(MAKE) --no-print-directory --jobs=2 test-nodes test-all-else

check: $(VENV)/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

# Nodes in network namespaces of their own spend minutes waiting for Ray to miss them, so the other
# tests run beside them; what these say is shown in one piece.
test-nodes: $(VENV)/installed-for-tests
	@$(BIN)/pytest tests/cluster -p no:cacheprovider >$(VENV)/test-nodes.log 2>&1; \
	status=$$?; cat $(VENV)/test-nodes.log; exit $$status

test-all-else: $(VENV)/installed-for-tests
	$(BIN)/pytest --ignore=tests/cluster

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the pinned packages into $(VENV); the first time takes a minute or two"
	$(PIP) --editable .
	touch $@

$(VENV)/installed-for-tests: $(VENV)/installed
	$(PIP) --editable '.[test,check]'
	touch $@
