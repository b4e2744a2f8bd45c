# The short ways. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help

CARGO ?= cargo
# Arguments of `make demo`, such as ARGS='--exit-after 90s --report capacity.html'.
ARGS ?=

.PHONY: help demo test lint bench peers fuzz clean

help: ## Lists what can be made
	@grep -hE '^[a-z]+: .*## ' $(MAKEFILE_LIST) | sed 's/: .*## /\t/' | expand -t 10

demo: ## Installs a PostgreSQL server if there is none, builds, and runs the demo
	@packaging/install-tools.sh demo
	@$(CARGO) build --release --locked
	@PATH="$$(packaging/install-tools.sh path)" exec target/release/plimsoll demo $(ARGS)

test: ## Installs what the tests need, and runs them all
	@packaging/install-tools.sh test
	@status=0; \
	$(CARGO) test --locked --no-fail-fast 2>&1 | tee target/test.log || status=$$?; \
	awk '/^SKIPPED: /{s++} /^test result: /{p += $$4; f += $$6; i += $$8; n++} END { \
	    printf "make test: %d passed, %d failed, %d ignored, %d skipped parts, %d programs\n", \
	    p, f, i, s, n }' target/test.log; \
	exit $$status

lint: ## Format, clippy, documentation and licences, each without a warning
	@$(CARGO) fmt --check
	@$(CARGO) clippy --all-targets --locked -- -D warnings
	@RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --locked --quiet
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	    $(CARGO) deny --locked check bans licenses sources; \
	else \
	    echo 'make lint: cargo-deny is not installed, so licences are not checked;' \
	        'cargo install --locked cargo-deny'; \
	fi

bench: ## Runs the benchmarks
	@$(CARGO) bench --locked

# How `make peers` compares: FULL=1 takes every series and ten minutes a peer and set.
PYTHON ?= python3
PEERS ?= $(if $(FULL),--budget 10m,--series 40 --budget 60s)

peers: ## Scores public forecasting methods beside ours (needs Python 3.11, pip and ../shared/data)
	@$(CARGO) build --release --locked
	@[ -x target/peers-env/bin/python ] || $(PYTHON) -m venv target/peers-env
	@target/peers-env/bin/pip install --quiet --disable-pip-version-check -r benches/peers/requirements.txt
	@target/peers-env/bin/python benches/peers/peers.py $(PEERS)

# How long each fuzzer runs, in seconds.
FUZZ ?= 120

fuzz: ## Throws bytes at everything that is read from disk (needs cargo-fuzz)
	@$(CARGO) fuzz --version >/dev/null 2>&1 || { \
	    echo 'make fuzz: cargo-fuzz is not installed; cargo install --locked cargo-fuzz' >&2; exit 1; }
	@for target in $$(RUSTC_BOOTSTRAP=1 $(CARGO) fuzz list); do \
	    RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target -- \
	        -max_total_time=$(FUZZ) -rss_limit_mb=2048 -timeout=10; \
	done

clean: ## Removes everything that was built or unpacked
	@$(CARGO) clean
