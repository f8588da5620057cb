# One command each; all use a virtual environment in .venv, the emulators one in .venv-emulators, a peer of the
# benchmarks one in .venv-peers, dbt one in .venv-dbt, the notebook one in .venv-notebook.
# the newest Python there is; a command of that name need not be one that can make environments
PYTHON ?= $(shell for one in python3.14 python3.13 python3.12 python3.11; do \
	$$one -c "import ensurepip, venv" >/dev/null 2>&1 && echo $$one && break; done)
VENV := .venv
BIN := $(VENV)/bin
EMULATORS := .venv-emulators
PEERS := .venv-peers
DBT := .venv-dbt
NOTEBOOK := .venv-notebook
ENGINES := .engines
BEAM = $(shell sed -n 's/^apache-beam==\([0-9.]*\).*/\1/p' requirements.txt)
# two processes: more would start more emulators than 3 GB of memory hold
IN_PARALLEL := -n 2 --dist worksteal
new_venv = { test -n "$(PYTHON)" || { echo "Python 3.11, 3.12, 3.13 or 3.14 with venv is needed (on Debian and Ubuntu: apt \
install python3 python3-venv), or say which: make PYTHON=…" >&2; exit 1; }; $(PYTHON) -m venv $(1); }
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# where it is set, each process of the tests would compile every module and its assertions anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-fast test-everywhere test-engines test-random test-python report view notebook test-report test-dbt test-cloud test-dataflow check format bench bench-quick bench-engines template docs lock clean

run: $(VENV)/run  ## the main job on the sample warehouse
	$(BIN)/python -m pipeline --runner DirectRunner

test: $(VENV)/dev $(EMULATORS)/ready $(NOTEBOOK)/ready  ## all tests; BigQuery and GCS are emulated
	$(BIN)/python -m pytest $(IN_PARALLEL)

test-fast: $(VENV)/dev  ## laws, units, SQL and docs, in about a minute on two idle cores
	$(BIN)/python -m pytest $(IN_PARALLEL) -m "not slow"

test-everywhere: $(VENV)/dev $(EMULATORS)/ready  ## the runs that are on folders in make test, on the emulated BigQuery; seven minutes on two idle cores
	$(BIN)/python -m pytest $(IN_PARALLEL) -m everywhere

test-random: $(VENV)/dev  ## the laws on random data, which differs every time (the other tests repeat theirs)
	$(BIN)/python -m pytest $(IN_PARALLEL) -m "not slow" --hypothesis-profile random

test-engines: $(VENV)/dev $(ENGINES)/ready  ## Prism and Flink, with workers killed; needs Go, Java 17 and Maven
	$(BIN)/python -m pytest -m engine --durations=0 tests/engines

test-python: ## the main job and the fast tests on the Python of a fresh Debian 13, or of SUITE=…; needs root and debootstrap
	tests/debian/run.sh .debian

report: $(VENV)/report  ## report.html on the sample warehouse; open it in a browser
	test -e warehouse/posthog_aggregated || $(BIN)/python -m pipeline --runner DirectRunner
	$(BIN)/python -m pipeline.report --output report.html

view:  ## the rows of a view of the sample warehouse as CSV: make view VIEW=daily_active (docs/views.md has all)
	@$(MAKE) --no-print-directory $(VENV)/report >&2
	@test -e warehouse/posthog_aggregated || $(BIN)/python -m pipeline --runner DirectRunner >&2
	@$(BIN)/python -m pipeline.views $(or $(VIEW),daily_active)

notebook: $(VENV)/run $(NOTEBOOK)/ready  ## the twelve questions on the sample warehouse, in a browser
	test -e warehouse/posthog_aggregated || $(BIN)/python -m pipeline --runner DirectRunner
	$(NOTEBOOK)/bin/marimo edit examples/twelve_questions.py

test-report: $(VENV)/dev $(VENV)/report  ## the report in a headless Chromium (of the system, or CHROMIUM=…)
	$(BIN)/python -m pytest tests/pipeline/report/check_page.py

test-dbt: $(VENV)/dev $(DBT)/ready  ## dbt parses the sources that are made for it, and its tests pass on the sample
	DBT=$(DBT) $(BIN)/python -m pytest tests/dbt/check_sources.py

test-cloud: $(VENV)/dev  ## one small run on the real BigQuery: make test-cloud PROJECT=… BUCKET=…
	TEST_CLOUD=yes PROJECT=$(PROJECT) BUCKET=$(BUCKET) $(BIN)/python -m pytest -rs tests/cloud

test-dataflow: $(VENV)/dev  ## two nights on the real Dataflow: make test-dataflow PROJECT=… BUCKET=… [IMAGE_TAG=…]
	PROJECT=$(PROJECT) BUCKET=$(BUCKET) IMAGE_TAG=$(IMAGE_TAG) deploy/prove.sh

check: $(VENV)/dev  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/dev $(EMULATORS)/ready $(PEERS)/ready  ## the pipeline against its peers; writes benchmarks/results.md and scaling.md (25 to 40 minutes)
	$(BIN)/python -m benchmarks.compare

bench-quick: $(VENV)/dev $(EMULATORS)/ready $(PEERS)/ready  ## the same on little data, under three minutes
	$(BIN)/python -m benchmarks.compare --quick

bench-engines: $(VENV)/dev $(ENGINES)/ready  ## Flink beside the local runner; writes benchmarks/engines.md (some minutes)
	$(BIN)/python -m benchmarks.engines

format: $(VENV)/dev  ## rewrite the code in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

template: $(VENV)/run  ## flex_template.json from the options
	$(BIN)/python -m deploy.template

docs: $(VENV)/dev  ## docs/tables.md and .json, sources for dbt, from the declarations; the answers of docs/questions.md
	$(BIN)/python -m deploy.dictionary
	$(BIN)/python -m deploy.questions
	$(BIN)/python -m deploy.views_page

lock: $(VENV)/dev  ## compile the lock files from requirements*.in, for Python 3.11 and later
	for name in requirements requirements-image requirements-dev requirements-emulators requirements-peers requirements-dbt requirements-report \
		requirements-notebook; do \
		$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --strip-extras \
			--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock (Python 3.11 and later)" \
			--output-file $$name.txt $$name.in || exit 1; \
	done

clean:  ## remove what make and the default run have made
	rm -rf $(VENV) $(EMULATORS) $(PEERS) $(DBT) $(NOTEBOOK) $(ENGINES) warehouse report.html .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/run: requirements.txt
	test -x $(BIN)/python || $(call new_venv,$(VENV))
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement requirements.txt
	touch $@

$(VENV)/dev: $(VENV)/run requirements-dev.txt
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement requirements-dev.txt
	touch $@

$(VENV)/report: $(VENV)/run requirements-report.txt
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement requirements-report.txt
	touch $@

$(EMULATORS)/ready: requirements-emulators.txt tests/bigquery/prepare_emulators.py
	test -x $(EMULATORS)/bin/python || $(call new_venv,$(EMULATORS))
	$(EMULATORS)/bin/pip install --quiet --require-hashes --no-deps --requirement requirements-emulators.txt
	$(EMULATORS)/bin/python tests/bigquery/prepare_emulators.py
	touch $@

$(ENGINES)/ready: requirements.txt tests/engines/pom.xml
	GOBIN=$(abspath $(ENGINES)) go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)
	mvn --batch-mode --quiet --file tests/engines/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
		-DoutputDirectory=$(abspath $(ENGINES))/flink
	touch $@

$(PEERS)/ready: requirements-peers.txt
	test -x $(PEERS)/bin/python || $(call new_venv,$(PEERS))
	$(PEERS)/bin/pip install --quiet --require-hashes --no-deps --requirement requirements-peers.txt
	touch $@

$(DBT)/ready: requirements-dbt.txt
	test -x $(DBT)/bin/python || $(call new_venv,$(DBT))
	$(DBT)/bin/pip install --quiet --require-hashes --no-deps --requirement requirements-dbt.txt
	touch $@

$(NOTEBOOK)/ready: requirements-notebook.txt
	test -x $(NOTEBOOK)/bin/python || $(call new_venv,$(NOTEBOOK))
	$(NOTEBOOK)/bin/pip install --quiet --require-hashes --no-deps --requirement requirements-notebook.txt
	touch $@
