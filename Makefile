# What a person types. Each target is a script that says what it does; CI calls the same ones.

SHELL := /bin/sh
CARGO ?= cargo
PROFILE ?= dev
PROFILE_FOLDER = $(if $(filter release,$(PROFILE)),release,debug)
TARGET_FOLDER ?= $(or $(CARGO_TARGET_DIR),target)
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')

.PHONY: help toolchain build release audit supervisor demo test sdk fuzz bench eval fmt lint doc clean-demo

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

toolchain: ## Check for git, a C compiler and Rust, and install what is missing where that can be done.
	@sh scripts/toolchain.sh

supervisor: toolchain ## Build the static supervisor beside the other binaries.
	@CARGO="$(CARGO)" PROFILE="$(PROFILE)" TARGET_FOLDER="$(TARGET_FOLDER)" HOST="$(HOST)" sh scripts/supervisor.sh

build: toolchain ## Build the server, the command and the supervisor.
	$(CARGO) build --locked --profile $(PROFILE) -p backspace-server -p backspace-cli
	@$(MAKE) --no-print-directory supervisor PROFILE=$(PROFILE)

release: toolchain ## Build the programs of a release: the same bytes from the same source and toolchain.
	@CARGO="$(CARGO)" TARGET_FOLDER="$(TARGET_FOLDER)" sh scripts/release.sh

audit: ## Check the dependencies, and write bills of materials into target/bills.
	@CARGO="$(CARGO)" sh scripts/audit.sh "$(TARGET_FOLDER)/bills"

demo: ## Run one task from the wire to a pull request, with nothing but this machine.
	@$(MAKE) --no-print-directory build
	@sh demo/run.sh "$(TARGET_FOLDER)/$(PROFILE_FOLDER)"

test: ## Run every test that this machine can run, and list what it can't and why.
	@$(MAKE) --no-print-directory build
	@CARGO="$(CARGO)" TARGET_FOLDER="$(TARGET_FOLDER)" sh scripts/test.sh

sdk: ## Generate the SDKs of Python, TypeScript and Go from the contract.
	@sh sdk/generate.sh

fuzz: ## Run the fuzz targets, FUZZ_SECONDS each; FUZZ_TARGETS names some of them.
	@CARGO="$(CARGO)" TARGET_FOLDER="$(TARGET_FOLDER)" sh scripts/fuzz.sh "$(or $(FUZZ_SECONDS),60)" $(FUZZ_TARGETS)

bench: ## Measure what the harness costs on top of the commands it runs.
	@$(MAKE) --no-print-directory build PROFILE=release
	@sh bench/run.sh "$(TARGET_FOLDER)/release"
	@CARGO="$(CARGO)" sh bench/sandbox.sh "$(TARGET_FOLDER)/release"
	@sh bench/work_tree.sh "$(TARGET_FOLDER)/release"

MODEL ?= scripted
eval: ## Measure a model on small coding exercises: make eval MODEL=provider/model EVAL_FLAGS=…
	@$(MAKE) --no-print-directory build
	$(CARGO) build --locked --profile $(PROFILE) -p backspace-eval
	@"$(TARGET_FOLDER)/$(PROFILE_FOLDER)/backspace-eval" run --model "$(MODEL)" $(EVAL_FLAGS)

fmt: ## Format.
	$(CARGO) fmt --all
	rustfmt --edition 2024 fuzz/targets/*.rs

lint: ## Check format, lints and documentation.
	$(CARGO) fmt --all --check
	rustfmt --check --edition 2024 fuzz/targets/*.rs
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked -p backspace-server --test sandbox_docker -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --lib
