# Every target is an alias: its recipe is what to type without make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --no-user
ENGINE := $(wildcard CMakeLists.txt harness/engine/*.cpp harness/engine/*.hpp)
CPP := $(foreach folder,harness/engine servers/* tests/engine bench,$(wildcard $(folder)/*.[ch]pp))
export CXX
# A pip that installs elsewhere by its settings would leave the environment empty.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT

.DEFAULT_GOAL := help
.PHONY: help install bench test lint format bench-engine bench-independent bench-self \
  bench-backends bench-accounts bench-profile bench-looks bench-inputs bench-kills bench-around \
  lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/installed ## Make .venv with the command `c10k` in it; quick when nothing changed

bench: install ## Compare the servers without Docker: make bench PROFILE=smoke SERVERS=poll,epoll-lt
	$(BIN)/c10k run --backend process \
	  $(if $(PROFILE),--profile $(PROFILE)) $(if $(SERVERS),--servers $(SERVERS)) $(ARGS)

# exec: a signal that make passes on reaches the tests, and not a shell in front of them
test: lint ## Run format, lint, types, warnings of the C++ code, and tests in two lanes
	$(MAKE) -C servers all
	exec $(BIN)/python tests/run_lanes.py $(ARGS)

lint: $(VENV)/tested ## Check format, lint, imports and types
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CPP)
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy

format: $(VENV)/tested ## Format Python and C++ and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)
	$(BIN)/ruff check --fix .

bench-engine: install ## Compare the load engine with a bare client and with a plain Locust user
	$(BIN)/python bench/bench_engine.py

bench-independent: install ## Compare what the engine measures with what a client apart from it does
	$(BIN)/python bench/bench_independent.py

bench-self: install ## Compare a server with itself in ten campaigns
	$(BIN)/python bench/bench_self.py

bench-backends: install ## Compare the CPU per echo of containers with that of processes
	$(BIN)/python bench/bench_backends.py

bench-accounts: install ## Hold the sources of CPU time against each other, in both backends
	$(BIN)/python bench/bench_accounts.py

bench-profile: install ## Tell where the servers' CPU time goes, by system call; needs perf
	$(BIN)/python bench/bench_profile.py

bench-looks: install ## Simulate campaigns to check the error rates of the looks
	$(BIN)/python bench/simulate_looks.py

bench-inputs: install ## Feed 500 generated bad inputs to the command line
	$(BIN)/python bench/bench_inputs.py

bench-kills: install ## Kill short campaigns at random: is anything lost, or left behind?
	$(BIN)/python bench/bench_kills.py $(ARGS)

bench-around: install ## Time what surrounds a measurement: commands, report, image, smoke run
	$(BIN)/python bench/bench_around.py $(ARGS)

lock: $(VENV)/dependencies ## Pin the newest versions of all dependencies, with hashes
	$(PIP) uv
	$(LOCK) pyproject.toml --output-file requirements/run.txt
	$(LOCK) requirements/build.in --output-file requirements/build.txt
	$(LOCK) requirements/ci.in --output-file requirements/ci.txt
	$(LOCK) --group test --constraint requirements/run.txt --output-file requirements/test.txt

clean: ## Remove what was built; reports stay
	rm -rf $(VENV) build servers/build .mypy_cache .pytest_cache .ruff_cache .hypothesis

LOCK = $(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 \
  --generate-hashes --custom-compile-command "make lock"

# Stamps: each step is repeated only when what it depends on is newer. The first stamp holds the
# path of the checkout. An environment and CMake's cache hold it as well: those of a copied or moved
# checkout would run and build the code of the original.
ifneq ($(file <$(VENV)/dependencies),$(CURDIR))
elsewhere := elsewhere
endif
.PHONY: elsewhere
elsewhere:
	rm -rf $(VENV) build/cp*

$(VENV)/dependencies: requirements/run.txt requirements/build.txt $(elsewhere)
	@.ci/check-tools $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements/run.txt -r requirements/build.txt
	pwd -P >$@

# Editable: Python changes count at once, and only a change of the engine installs again.
$(VENV)/installed: $(VENV)/dependencies pyproject.toml $(ENGINE)
	$(PIP) --no-build-isolation --no-deps --editable .
	touch $@

$(VENV)/tested: $(VENV)/installed requirements/test.txt
	$(PIP) --require-hashes -r requirements/test.txt
	touch $@
