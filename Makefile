# The commands of this project; `make` alone lists them. What they need is installed by scripts/setup.sh, once.
SHELL := /bin/bash
WRANGLER := node_modules/.bin/wrangler
export WRANGLER_SEND_METRICS ?= false
# Many tests wait for simulated latencies, so more of them than there are processors run at once.
export RUST_TEST_THREADS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 4 ? 4 : n)))

# The demo's options, passed on only when given: make demo MEMBERS=1000 ROLES=60 SEED=7 SERVE=1
DEMO_OPTIONS := $(if $(MEMBERS),--members $(MEMBERS)) $(if $(ROLES),--roles $(ROLES)) $(if $(SEED),--seed $(SEED)) \
	$(if $(filter-out 0 no,$(SERVE)),--serve)

# What is said on make's own command line. What a shell exports for something else, such as URL for `make connect`, is no answer of anybody's.
said = $(if $(filter command,$(origin $1)),$($1))

# The answers of `make up`, passed on only when given; a secret is none of them.
UP_OPTIONS := $(if $(call said,ACCOUNT),--account $(ACCOUNT)) $(if $(call said,TENANT),--tenant $(TENANT)) \
	$(if $(call said,PROVISIONING),--provisioning $(PROVISIONING)) $(if $(call said,PLAN),--plan $(PLAN)) $(if $(call said,URL),--url $(URL)) \
	$(if $(call said,TAKE),--take $(TAKE)) $(if $(filter-out 0 no,$(call said,NEW_TOKENS)),--new-tokens)

# The same of `make down`.
DOWN_OPTIONS := $(if $(call said,ACCOUNT),--account $(ACCOUNT)) $(if $(filter-out 0 no,$(call said,YES)),--yes) \
	$(if $(filter-out 0 no,$(call said,ABANDON)),--abandon)

# Has Node go by HTTPS_PROXY where that is set; 22.21, 24.5 and later can, and only with a scheme in front. Never for this machine's own addresses: what
# goes to `make dev` has a token in it, and is not encrypted. Not in the tests, which ask this machine alone.
up down connect: export NODE_USE_ENV_PROXY ?= $(if $(filter http://% https://%,$(HTTPS_PROXY) $(https_proxy)),1)
up down connect: export no_proxy := localhost,127.0.0.1,[::1],$(or $(no_proxy),$(NO_PROXY))

.DEFAULT_GOAL := help
.PHONY: help setup build test soak fuzz demo dev up down release deploy connect lint bench screenshots clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## install what this machine lacks, pinned, and say what that was
	@bash scripts/setup.sh

build: setup ## compile the Worker into build/, when something changed
	@bash scripts/build.sh

test: build ## run all tests: native, and against the built Worker in the real runtime
	@bash scripts/setup.sh tests
	cargo test --workspace --no-fail-fast

soak: build ## hold the promises against many more seeds, and all cells of the fault matrix (SEEDS=, 200 unless told)
	@bash scripts/setup.sh runtime
	SOAK=$(or $(SEEDS),200) cargo test --no-fail-fast --test native -- promises:: matrix::
	SOAK=$(or $(SEEDS),200) cargo test --no-fail-fast --test e2e -- chaos:: sync::memory::

fuzz: ## run each fuzz target for a minute, with a nightly Rust and cargo-fuzz (SECONDS_EACH=, TARGET=)
	@SECONDS_EACH=$(SECONDS_EACH) bash scripts/fuzz.sh $(TARGET)

demo: build ## watch a sync, a grant and a revoke against simulators (MEMBERS=, ROLES=, SEED=, SERVE=1 stays up)
	@bash scripts/setup.sh runtime
	@cargo build -p sim --bin demo
	@cargo run -q -p sim --bin demo -- $(DEMO_OPTIONS)

dev: ## run the Worker locally against the real APIs, with the secrets of .dev.vars
	@test -f .dev.vars || { echo "dev: .dev.vars is missing: run: install -m 600 .dev.vars.example .dev.vars, and fill it in" >&2; exit 1; }
	@chmod go= .dev.vars
	@bash scripts/setup.sh runtime
	$(WRANGLER) dev

up: setup ## from here to a connected account: asks, deploys, sets the secrets, syncs (ACCOUNT=, TENANT=, PROVISIONING=on, PLAN=paid, URL=, TAKE=worker, NEW_TOKENS=1)
	@node scripts/up.mjs $(UP_OPTIONS)

down: setup ## take away what `make up` made, after saying what that is (ACCOUNT=; YES=1 does not ask, ABANDON=1 waits for nothing)
	@node scripts/down.mjs $(DOWN_OPTIONS)

release: setup ## make a tree in dist/release that deploys without Rust: for the branch behind a Deploy button (REPOSITORY=, FOLDER=)
	@bash scripts/release.sh

deploy: ## deploy the Worker to your Cloudflare account
	@bash scripts/deploy.sh

connect: ## point C1's entitlements at the deployed Worker (URL=, TOKEN in the environment, APP=, DRY_RUN=1, UNDO=1, OVERWRITE=1)
	@node scripts/connect.mjs

lint: setup ## check the formatting and the lints, natively and for wasm32
	@bash scripts/lint.sh

bench: build ## measure requests, writes, size and time per sync, and count what the code itself costs
	@bash scripts/setup.sh runtime
	cargo run -p counts --profile counts
	cargo run -p sim --features bench --bin bench
	cargo test --features measure --test wrangler_dev first_row -- --nocapture
	cargo test --profile counts --features measure --test native what_a_change_costs -- --nocapture

screenshots: build ## take the pictures of the README again, with the page's browser test
	@bash scripts/setup.sh runtime
	cargo test --test wrangler_dev page_shows
	cp target/tmp/page-screenshots/readme-now.png docs/now.png
	cp target/tmp/page-screenshots/readme-people.png docs/people.png

clean: ## remove what was built; the installed tools stay (remove .tools and node_modules for those), and so does a tree in dist/ that somebody works in
	cargo clean
	rm -rf build .wrangler
	@for tree in dist/*; do \
		if [ -e "$$tree/.git" ] || [ -e "$$tree/node_modules" ]; then echo "clean: $$tree stays, since somebody works in it"; else rm -rf "$$tree"; fi; \
	done
	@rmdir dist 2>/dev/null || true
