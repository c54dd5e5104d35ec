# Two commands carry everything: `make serve` and `make test`, both from a fresh checkout. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := bridge/media/native
NATIVE_MANIFEST := $(NATIVE)/Cargo.toml
PYTEST_ARGS ?=
# Tests marked `alone` run while no other does, however many processes there are.
PYTEST_PROCESSES ?= $(shell nproc | awk '{ print $$1 < 4 ? $$1 : 4 }')
LOCK_ARGS ?=
BENCH_ARGS ?=
# The build backend looks for its own command there.
export PATH := $(abspath $(BIN)):$(PATH)
export VIRTUAL_ENV := $(abspath $(VENV))
FUZZ_SECONDS ?= 10
CHROMIUM ?= /usr/bin/chromium

NATIVE_SOURCES := $(shell find $(NATIVE) -name target -prune -o -name fuzz -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print)
WEB_SOURCES := $(shell find web -name node_modules -prune -o -type f -print)
DEBIAN_PACKAGES := age chromium dcmtk dicom3tools ffmpeg iproute2 iputils-ping e2fsprogs mount orthanc orthanc-dicomweb
# What only `make bench-relay-vs` needs, beside which Bridge is measured there.
BENCH_PACKAGES := janus iproute2
BENCH_COMMANDS := janus ip
DEBIAN_COMMANDS := age age-keygen $(CHROMIUM) dcmdump dciodvfy ffmpeg ip ping mkfs.ext4 losetup fsfreeze Orthanc

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# --- what is built -----------------------------------------------------------------------------------------------

build/venv.stamp: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("Bridge needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check maturin -c requirements.lock
	mkdir -p build && touch $@

build/bridge.stamp: build/venv.stamp pyproject.toml $(NATIVE_SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -c requirements.lock -e '.[demo]'
	touch $@

build/dev.stamp: build/bridge.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -c requirements.lock -e '.[demo,dev]'
	touch $@

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund

# Of OHIF only the built pages: nothing of what it was built from is fetched or run.
build/ohif.stamp: tests/ohif/package-lock.json
	mkdir -p build/ohif && cp tests/ohif/package.json tests/ohif/package-lock.json build/ohif/
	cd build/ohif && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

bridge/static/index.html: web/node_modules/.package-lock.json $(WEB_SOURCES)
	cd web && npm run build
	touch $@

.PHONY: build
build: build/bridge.stamp bridge/static/index.html ## the relay and the page

.PHONY: wheel
wheel: build/venv.stamp bridge/static/index.html ## a wheel that carries the built relay and page
	$(BIN)/maturin build --release --out dist

# --- running -----------------------------------------------------------------------------------------------------

.PHONY: serve
serve: build ## the server with its embedded store and the demo satellite; prints the address to open
	$(BIN)/bridge serve --demo

.PHONY: check
check: build ## proves this installation by a call through the real relay
	$(BIN)/bridge check

# --- testing -----------------------------------------------------------------------------------------------------

.PHONY: test-tools
test-tools:
	@missing=(); for tool in $(DEBIAN_COMMANDS); do command -v "$$tool" >/dev/null || missing+=("$$tool"); done; \
	if [ $${#missing[@]} -gt 0 ]; then \
	  echo "installing $(DEBIAN_PACKAGES) (missing: $${missing[*]})"; \
	  if [ "$$(id -u)" != 0 ]; then echo "run as root, or install these Debian packages: $(DEBIAN_PACKAGES)" >&2; exit 1; fi; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN_PACKAGES) >/dev/null; \
	  if [[ "$${missing[*]}" == *Orthanc* && -d /run/systemd/system ]]; then systemctl disable --quiet --now orthanc; fi; \
	fi

.PHONY: lint
lint: build/dev.stamp web/node_modules/.package-lock.json ## every static check
	$(BIN)/ruff format --check bridge tests benchmarks
	$(BIN)/ruff check bridge tests benchmarks
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest bridge.media._native
	$(BIN)/lint-imports
	cargo fmt --manifest-path $(NATIVE_MANIFEST) --all --check
	cargo clippy --quiet --manifest-path $(NATIVE_MANIFEST) --workspace --all-targets --features python -- -D warnings
	cd web && npm run typecheck && npm run lint

.PHONY: test-native
test-native: ## the relay's own tests
	cargo test --quiet --manifest-path $(NATIVE_MANIFEST) --workspace

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZ_SECONDS each
	$(NATIVE)/fuzz/run.sh $(FUZZ_SECONDS)

.PHONY: test-web
test-web: web/node_modules/.package-lock.json ## the page's unit tests
	cd web && npx vitest run

.PHONY: test-python
test-python: build/dev.stamp build/ohif.stamp bridge/static/index.html test-tools ## pytest: units, scenarios, interop and real browsers
	mkdir -p build/screens
	$(BIN)/python -m pytest -n $(PYTEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: kill-imaging
kill-imaging: build/dev.stamp bridge/static/index.html test-tools ## kills the server thirty times while studies arrive; prints what it saw
	KILLS=30 $(BIN)/python -m pytest -s tests/scenarios/test_imaging_killed.py

.PHONY: test
test: test-tools lint test-native fuzz test-web test-python ## everything; ends with pytest's closing line

# --- measuring ---------------------------------------------------------------------------------------------------

.PHONY: bench-relay
bench-relay: build/dev.stamp ## CPU per forwarded packet against the floor; last line is one JSON object
	$(BIN)/python benchmarks/relay.py

.PHONY: bench-fanout
bench-fanout: build/dev.stamp ## how many viewers one relay thread holds without loss; last line is one JSON object
	$(BIN)/python -m benchmarks.fanout $(BENCH_ARGS)

.PHONY: bench-tools
bench-tools:
	@missing=(); for tool in $(BENCH_COMMANDS); do command -v "$$tool" >/dev/null || missing+=("$$tool"); done; \
	if [ $${#missing[@]} -gt 0 ]; then \
	  echo "installing $(BENCH_PACKAGES) (missing: $${missing[*]})"; \
	  if [ "$$(id -u)" != 0 ]; then echo "run as root, or install these Debian packages: $(BENCH_PACKAGES)" >&2; exit 1; fi; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(BENCH_PACKAGES) >/dev/null; \
	  if [[ "$${missing[*]}" == *janus* && -d /run/systemd/system ]]; then systemctl disable --quiet --now janus; fi; \
	fi

.PHONY: bench-relay-vs
bench-relay-vs: build/dev.stamp bridge/static/index.html bench-tools ## CPU per forwarded packet beside Janus; last line is one JSON object
	$(BIN)/python -m benchmarks.relay_vs $(BENCH_ARGS)

.PHONY: bench-event
bench-event: build/dev.stamp bridge/static/index.html ## a launch event: 200 points, 9 on stage, 500 viewers in 15 s; last line is one JSON object
	$(BIN)/bridge bench event $(BENCH_ARGS)

.PHONY: bench-recording
bench-recording: build/dev.stamp ## tracks recorded on one core, sealing, seeking, cost of taps; last line is one JSON object
	$(BIN)/python benchmarks/recording.py

.PHONY: bench-previews
bench-previews: build/dev.stamp ## a CT over thin lines: first picture, previews of 300 slices; last line is one JSON object
	$(BIN)/python benchmarks/previews.py

.PHONY: bench-first-picture
bench-first-picture: build/dev.stamp bridge/static/index.html ## a CT opened in Chromium over thin lines; last line is one JSON object
	$(BIN)/python -m benchmarks.opening

.PHONY: bench-arrival
bench-arrival: build/dev.stamp ## what 1 GB of CT that arrives adds to the transit of live video; last line is one JSON object
	$(BIN)/python -m benchmarks.arrival

.PHONY: bench-imaging
bench-imaging: build/dev.stamp bridge/static/index.html test-tools ## keeping and giving studies beside Orthanc; last line is one JSON object
	$(BIN)/python -m benchmarks.imaging

# --- upkeep ------------------------------------------------------------------------------------------------------

.PHONY: lock
lock: build/dev.stamp ## pins what pyproject.toml asks for; LOCK_ARGS=--upgrade takes the newest of all that is pinned
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile -q --all-extras --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header \
	  --no-annotate $(LOCK_ARGS) -o requirements.lock pyproject.toml

.PHONY: clean
clean: ## removes what was built, not the data
	rm -rf build dist bridge/static web/node_modules $(VENV) bridge/media/_native*.so $(NATIVE)/target $(NATIVE)/fuzz/target
