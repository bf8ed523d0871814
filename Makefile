# `make run` and `make test` do everything on a fresh machine; the rest is for work on the project.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check samples bench browser clean

run: $(VENV)/.installed
	$(BIN)/streamlit run app.py

test: check browser
	$(BIN)/python -m pytest

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

samples: $(VENV)/.installed
	$(BIN)/python -m core samples

bench: $(VENV)/.installed-dev browser
	$(BIN)/python benchmarks/click.py

browser: $(VENV)/.installed-dev
	@command -v chromium >/dev/null 2>&1 \
		|| $(BIN)/python -m tests.browser.installed \
		|| { apt-get update -qq && apt-get install -y -qq chromium; } \
		|| $(BIN)/playwright install --with-deps chromium

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
