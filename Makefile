# sbcwatch. `make demo` shows it, `make test` proves it; neither needs anything installed first but Python.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := loss-vc2cust
SOURCES := $(shell find agent -name '*.py' -o -name '*.pxd')
INSTALLED := $(VENV)/.installed
TESTED := $(VENV)/.test-installed
# Where the tests are installed their installation serves for all.
ANY := $(or $(wildcard $(TESTED)),$(INSTALLED))
# A second CloudWatch to read back from, in an environment of its own: it wants another botocore.
MINISTACK := $(abspath $(VENV))/ministack/bin/ministack

# Exact versions with their hashes; other Pythons than the locked one take what pyproject.toml allows.
LOCKED_PYTHON := 3.11
LOCK := $(if $(filter $(LOCKED_PYTHON),$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')),yes)

# Each start of Python would translate every source anew: tests start it some hundred times.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: wheel deb rpm sbom lock package-test demo test installed image-test check quick lint programs bench fuzz chaos config manual clean

# A bundled capture of a real SBC through the whole pipeline into a local store.
demo: $(ANY)
	$(BIN)/sbcwatch replay pcaps/$(DEMO)-customer.pcap pcaps/$(DEMO)-remote.pcap \
	  --vc 10.10.0.1 --vc 10.20.0.1 --customer 10.10.0.0/24 --store .demo
	@$(BIN)/sbcwatch selftest | grep -q 'RTP loop: compiled' || \
	  echo "This ran uncompiled: the same numbers, but too slow to watch a host. \`$(BIN)/pip install .\` compiles (a minute or two)."
	@echo "See it: \`$(BIN)/sbcwatch web --store .demo\`, then http://127.0.0.1:9643 in a browser."
	@echo "The call whole: \`$(BIN)/sbcwatch call 0110 --store .demo\`; all calls: \`$(BIN)/sbcwatch calls --store .demo\`."
	@echo "Next: \`$(BIN)/sbcwatch replay YOUR.pcap\` reads a capture of yours; docs/install.md sets up a host."

# Tests beside each other: as many as JOBS says are at work. Some wait, so there is a process more; those of the lab
# and of the host mostly wait, and have two more. tests/conftest.py has which of them go one after the other.
JOBS ?= 2
BESIDE := -n $(shell expr $(JOBS) + 1)
BESIDE_LAB := -n $(shell expr $(JOBS) + 2)
# A flood and the daemon that reads it want a processor each: nothing beside them.
FLOODS := tests/lab/test_floods.py

# All tests but those of the image. As root on Debian the programs that they need are installed when missing:
# the lab runs live, and systemd boots the units.
test: installed
	MINISTACK=$(MINISTACK) $(BIN)/python -m pytest $(BESIDE_LAB) --ignore=$(FLOODS)
	$(BIN)/python -m pytest $(FLOODS)

# `make -j3 installed` fetches and compiles beside each other.
installed: $(TESTED) $(MINISTACK) programs

# All that is built and run in clean systems: the image from a local base (a call of the lab through it, each example
# of deploy/), the packages, the commands of the install page, the Ansible role. Every module is compiled three times.
image-test: $(TESTED) programs
	$(BIN)/python -m pytest -m image tests/deploy

# What a change must pass before it is committed.
check:
	$(MAKE) --no-print-directory -j2 lint quick

quick: $(TESTED)
	$(BIN)/python -m pytest $(BESIDE) -m "not lab and not slow and not image"

lint: $(TESTED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

programs:
	@tests/install tests/lab/packages.txt tests/deploy/packages.txt tests/web/packages.txt

# --- packages: dist/ has them

# A wheel with the units, the sample configuration and the docs. In an environment of locked build tools.
wheel: $(VENV)/build/.ready
	SBCWATCH_REQUIRE_COMPILED=1 $(VENV)/build/bin/pip wheel --quiet --no-deps --no-build-isolation -w dist .

# A Debian package that brings its own Python; build it on the oldest system that shall run it. docs/install.md
deb: wheel
	$(VENV)/build/bin/python -m deploy.package deb

rpm: wheel
	$(VENV)/build/bin/python -m deploy.package rpm

# What is in an installation, as CycloneDX.
sbom: dist/sbcwatch.cdx.json
dist/sbcwatch.cdx.json: requirements/runtime.txt requirements/sbom.txt
	test -x $(VENV)/sbom/bin/cyclonedx-py || $(PYTHON) -m venv $(VENV)/sbom
	$(VENV)/sbom/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sbom.txt
	mkdir -p dist
	$(VENV)/sbom/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	  --output-format JSON --output-file $@ requirements/runtime.txt

# The locks, made anew (uv): versions change, so run the tests afterwards.
UV := uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links
lock:
	$(UV) --universal --python-version $(LOCKED_PYTHON) -o requirements/build.txt requirements/build.in
	$(UV) --universal --python-version $(LOCKED_PYTHON) -o requirements/sbom.txt requirements/sbom.in
	$(UV) --universal --python-version $(LOCKED_PYTHON) --extra confine --extra web --extra top --extra fleet -o requirements/runtime.txt pyproject.toml
	$(UV) --python-platform x86_64-manylinux_2_28 --python-version $(LOCKED_PYTHON) --extra test -o requirements/test.txt pyproject.toml

# The package built, installed, upgraded and removed in a clean Debian root: three minutes.
package-test: $(TESTED) programs
	$(BIN)/python -m pytest -m image tests/deploy/test_debian_package.py

bench: $(TESTED)
	$(BIN)/python -m benchmarks

# FUZZ bounds a run: `make fuzz FUZZ=-max_total_time=20`. The parsers one by one under libFuzzer, then whole captures
# through the compiled path; at length that is a million captures and more. `make -j2 fuzz` runs two beside each other.
FUZZ ?= -runs=10000000
FUZZED := fuzz-rtcp fuzz-sip fuzz-sdp fuzz-path
.PHONY: fuzz $(FUZZED)
fuzz: $(FUZZED)
$(FUZZED): fuzz-%: $(TESTED)
	$(if $(filter path,$*),,SBCWATCH_NO_COMPILED=1) $(BIN)/python -m tests.fuzz.$* $(FUZZ)

# Whole captures through modules compiled with AddressSanitizer and UndefinedBehaviorSanitizer, in a copy of the tree.
# At -O1, whatever setup.py asks for (gcc heeds the last -O): with both sanitizers -O3 compiles for a quarter of an hour.
ASAN := build/asan
.PHONY: fuzz-asan
fuzz-asan: $(TESTED)
	rm -rf $(ASAN) && mkdir -p $(ASAN)
	cp -r agent tests benchmarks setup.py pyproject.toml README.md LICENSE $(ASAN)
	find $(ASAN) -name '*.so' -delete
	printf '#!/bin/sh\nexec gcc "$$@" -O1\n' >$(ASAN)/cc && chmod +x $(ASAN)/cc
	cd $(ASAN) && CC=$(abspath $(ASAN))/cc \
	  CFLAGS="-g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" \
	  LDFLAGS="-fsanitize=address,undefined" SBCWATCH_REQUIRE_COMPILED=1 $(abspath $(BIN))/python setup.py --quiet build_ext --inplace
	cd $(ASAN) && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$(abspath $(ASAN)) $(abspath $(BIN))/python -m tests.fuzz.path $(FUZZ)

chaos: $(TESTED)
	$(BIN)/python -m tests.chaos --kills 200

# config/sbcwatch.toml is written from agent/config/settings.py.
config: $(ANY)
	$(BIN)/python -c "from agent.config.load import shipped; print(shipped(), end='')" > config/sbcwatch.toml

# docs/sbcwatch.1 and the shells' completion are written from the parser in agent/cli.py.
manual: $(TESTED)
	$(BIN)/python -m tests.kit.manual

# Uncompiled, so that the demo is there in seconds. A copy: beside the tree's sources old compiled code may lie.
$(INSTALLED): pyproject.toml setup.py $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	SBCWATCH_NO_COMPILED=1 $(BIN)/pip install --quiet --disable-pip-version-check ".[web]"
	touch $@

# In place, so that tests run the tree's own code with the loop compiled beside its source: once, and after a
# change only what changed. The installation, which would compile everything each time, compiles nothing; while pip
# fetches, gcc works.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/python setup.py --quiet build_ext --inplace
$(TESTED): pyproject.toml setup.py $(filter %_cy.py %_cy.pxd,$(SOURCES))
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifdef LOCK
	$(PIP) --require-hashes -r requirements/build.txt
	$(COMPILE) & $(PIP) --require-hashes -r requirements/test.txt; installed=$$?; wait $$! && exit $$installed
	SBCWATCH_NO_COMPILED=1 $(PIP) --no-deps --no-build-isolation --editable ".[test]"
else
	SBCWATCH_NO_COMPILED=1 $(PIP) --editable ".[test]"
	$(COMPILE)
endif
	touch $@

$(VENV)/build/.ready: requirements/build.txt
	test -x $(VENV)/build/bin/python || $(PYTHON) -m venv $(VENV)/build
	$(VENV)/build/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	touch $@

$(MINISTACK):
	$(PYTHON) -m venv $(VENV)/ministack
	$(VENV)/ministack/bin/pip install --quiet --disable-pip-version-check "ministack>=1.5"

clean:
	rm -rf $(VENV) build dist .demo
	find agent -name '*.c' -o -name '*.so' | xargs rm -f
