# `make run` and `make test` do everything on a fresh machine; the rest is for work on the project.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test conformance networks check samples bench screenshots browser clean

run: $(VENV)/.installed
	$(BIN)/streamlit run app.py

# Two processes of one thread each take two thirds of the time of one with two: torch's threads wait for each other.
test: check browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# All networks of the catalogue and hundreds of random ones, a quarter of an hour; `make test` takes a few of each.
conformance: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/conformance -m "" -n auto --maxprocesses 4 --dist loadfile

# The table of docs/networks.md, some minutes.
networks: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.conformance.table

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

samples: $(VENV)/.installed
	$(BIN)/python -m core samples

bench: $(VENV)/.installed-dev browser
	$(BIN)/python benchmarks/first_paint.py
	$(BIN)/python benchmarks/live.py --without-store
	$(BIN)/python benchmarks/click.py
	$(BIN)/python benchmarks/ten_sessions.py
	$(BIN)/python benchmarks/jacobian.py
	$(BIN)/python benchmarks/coupled.py

# Every page in three widths and two themes with three networks, and what is wrong with their layout.
screenshots: browser
	$(BIN)/python tests/browser/screenshots.py screenshots

browser: $(VENV)/.installed-dev
	@command -v chromium >/dev/null 2>&1 \
		|| $(BIN)/python -m tests.browser.installed \
		|| { apt-get update -qq && apt-get install -y -qq chromium; } \
		|| $(BIN)/playwright install --with-deps chromium

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) \
		|| { echo "No virtual environment could be made; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.installed: requirements.txt | $(VENV)/.made
	@echo "Installing, once: torch and its CUDA libraries are several GB, which takes some minutes."
	$(BIN)/pip install --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
