# `make` lists what there is. Everything runs in .venv, which `make setup` makes.
PY := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo up down scan test extended check gen lint types walls bench quality clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Where nobody answers, pip speaks of versions that conflict; its log knows better.
OFFLINE := The package index cannot be reached, so nothing can be installed. Check the network, HTTPS_PROXY and PIP_INDEX_URL; then run make again.
fetched = rm -f .venv/pip.log; $(1) 2> .venv/why || { \
	if cat .venv/pip.log .venv/why 2> /dev/null | grep -qE 'connection error|error sending request|[Ff]ailed to fetch'; \
	then echo "$(OFFLINE)"; else cat .venv/why; fi >&2; exit 1; }

# Builds of one Python differ by a third in speed, and with them everything here (ADR 35): of those of 3.11, which we test with, the fastest.
define PROBE
import ensurepip, sys, time, venv
def work(count):
    began, seen = time.process_time(), {}
    for number in range(count):
        seen[number & 1023] = str(number).split("1")
    return time.process_time() - began
if sys.version_info[:2] == (3, 11):
    print("%.6f" % min(work(20000) for _ in range(9)), sys.executable)
elif sys.version_info > (3, 11):
    print("later", sys.executable)
endef
export PROBE
BUILDS := python3 python3.11 /usr/local/bin/python3.11 /usr/bin/python3.11
fastest = for round in 1 2 3 4 5 6 7; do for each in $(BUILDS); do "$$each" -c "$$PROBE"; done 2> /dev/null | sort | sed -n '1s/^[^ ]* //p'; done \
	| sort | uniq -c | sort -rn | sed -n '1s/^ *[0-9]* //p'

SMALL := .[aws,mongodb,mysql,stores]
# The small environment: what `up`, `scan` and `demo` need.
.venv/.run: pyproject.toml constraints.txt
	@test -x $(PY) || { chosen=$$($(fastest)); echo "Python: $${chosen:-none}"; test "$$chosen" && "$$chosen" -m venv .venv; } || \
		{ echo "Python 3.11 or newer with venv is needed (Debian: apt install python3-venv)."; exit 1; }
	@$(call fetched,$(PY) -m pip install -q --log .venv/pip.log uv -c constraints.txt)
	@$(call fetched,$(PY) -m uv pip install -q --python $(PY) -c constraints.txt -e '$(SMALL)')
	@touch $@

# The full one: tests, checks, benchmarks.
.venv/.dev: .venv/.run
	@$(call fetched,$(PY) -m uv pip install -q --python $(PY) -c constraints.txt -e '.[dev]')
	@touch $@

setup: .venv/.dev ## install everything that tests and checks need
	@bash tests/setup.sh

demo: .venv/.run ## a sample company, scanned: start here
	@.venv/bin/pursight demo

up: .venv/.run ## start the stack
	@.venv/bin/pursight up

down: .venv/.run ## stop it
	@.venv/bin/pursight down

test: ## everything that CI runs
	@$(MAKE) --no-print-directory --output-sync -j 2 setup check
	@$(PY) -m pytest -n 3
	@echo "Not in here: tests at OpenTofu, Keycloak, fake-gcs-server and Kubernetes' API server, which take minutes to build: make extended"

extended: setup ## tests at servers that take minutes to build (OpenTofu, Keycloak, Kubernetes, fake-gcs-server): not in `make test`
	@bash tests/extended.sh
	@PURSIGHT_CI=1 $(PY) -m pytest -n 2 -m extended

check: .venv/.dev ## format, lint, types, import walls, generated files
	@.venv/bin/ruff format --check -q .
	@.venv/bin/ruff check -q .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@$(PY) -m shared.docs --check

gen: .venv/.dev ## write every generated file
	@$(PY) -m shared.docs
	@.venv/bin/ruff format -q .

bench: .venv/.dev ## measure side by side; the table is bench/results.md
	@$(PY) -m bench

quality: .venv/.dev ## how right labels are, beside other classifiers
	@$(PY) -m bench.quality.run

clean: ## remove the environment
	@rm -rf .venv
