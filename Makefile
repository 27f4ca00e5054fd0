# Every target installs what it lacks (.ci/setup) and does nothing twice.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help run build test soak quick end2end dev bench fmt lint clean setup setup-test site binaries

cargo := .ci/cargo
target := $(or $(CARGO_TARGET_DIR),target)
# Where .ci/setup puts what the machine has not.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)
wasm_target := wasm32-unknown-unknown
demo := salvor-demo

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## builds, makes a small demonstration on first use, and serves it
	@[ -f $(demo)/salvor.toml ] || $(target)/release/salvor demo $(demo)
	@exec $(target)/release/salvor --config $(demo)/salvor.toml serve

build: setup site ## target/release/salvor, one self-contained program
	@$(cargo) build --locked --release --package salvor

test: setup-test lint site ## everything: lints, licences, tests on SQLite and PostgreSQL, the browser suite
	@$(cargo) test --locked --release --package salvor-bundle
	@if $(cargo) nextest --version >/dev/null 2>&1; then tests=(nextest run); else tests=(test); fi; \
	  .ci/postgres $(cargo) "$${tests[@]}" --locked --no-fail-fast
	@$(MAKE) binaries playwright

soak: setup-test ## kills the program a thousand times in the midst of its jobs (SALVOR_TEST_KILLS, SALVOR_TEST_SEED)
	@SALVOR_TEST_KILLS=$${SALVOR_TEST_KILLS:-1000} $(cargo) test --locked --package salvor --test it crash:: -- --nocapture

quick: setup ## the loop of a minute: format, clippy, and the tests on SQLite alone
	@$(cargo) fmt --all --check
	@$(cargo) clippy --locked --all-targets -- -D warnings
	@if $(cargo) nextest --version >/dev/null 2>&1; then $(cargo) nextest run --locked; else $(cargo) test --locked; fi

end2end: setup-test site binaries playwright ## the browser suite alone; ARGS="…" go to Playwright

dev: setup ## rebuilds and restarts whenever a source file changes
	@exec .ci/watch

bench: ## benchmarks beside their peers, on the same files; ARGS="restore check …" for some of them
	@.ci/setup bench
	@$(cargo) bench --locked --package salvor --bench bench -- $(ARGS)

.PHONY: bench-figures
# Wants a quiet machine with 24 GiB of memory and half an hour.
bench-figures: ## the long form, which writes the figures of server/benches/README.md
	@SALVOR_BENCH_FILES=50000 SALVOR_BENCH_GROWTH=1 SALVOR_BENCH_WRITE=1 $(MAKE) bench

fmt: ## formats the code
	@$(cargo) fmt --all

lint: setup-test ## format, clippy for both halves, licences and banned crates
	@$(cargo) fmt --all --check
	@$(cargo) clippy --locked --all-targets -- -D warnings
	@$(cargo) clippy --locked --package salvor-bundle --all-targets -- -D warnings
	@$(cargo) clippy --locked --package salvor-hydrate --target $(wasm_target) -- -D warnings
	@# Advisories change without the code and need the network: `cargo deny check advisories` by hand.
	@$(cargo) deny --locked --workspace check licenses bans sources

clean: ## removes everything that was built, and the demonstration
	@cargo clean
	@rm -rf target $(demo) end2end/node_modules end2end/test-results end2end/playwright-report

setup:
	@.ci/setup build

setup-test:
	@.ci/setup test

# The browser's half; the server embeds the folder. Leaves it untouched when nothing changed.
site: setup
	@$(cargo) build --locked --package salvor-hydrate --lib --target $(wasm_target) --profile wasm-release
	@$(cargo) run --quiet --locked --release --package salvor-bundle -- --styles style --assets public --out target/site \
	  --wasm $(target)/$(wasm_target)/wasm-release/salvor_hydrate.wasm

# The same packages as the tests, so that nothing compiles twice.
binaries:
	@$(cargo) build --locked

.PHONY: playwright
playwright:
	@cd end2end && SALVOR_BIN=$(abspath $(target))/debug/salvor npx --no-install playwright test $(ARGS)
