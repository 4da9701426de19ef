# Two commands: `make demo` shows the main job on real speech, `make test` runs every test. Both do all set-up themselves.

CARGO ?= cargo
SPEECH := libpocketsphinx3 pocketsphinx-en-us
STATE := redis-server
WATCH := prometheus prometheus-alertmanager
PEERS := nginx-light haproxy

.PHONY: help demo test check bench autobahn build packages format

help:              ## say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

demo: build        ## the main job on real speech: stream, file, and a pool that dies
	@demo/run "$$($(CARGO) metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/crosspoint"

build: packages
	@$(CARGO) build --locked --package crosspoint

packages:
	@scripts/install $(SPEECH)

test: packages     ## every test, doc tests included
	@scripts/install $(STATE) $(WATCH)
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    $(CARGO) nextest run --locked --workspace && $(CARGO) test --locked --workspace --doc; \
	else \
	    $(CARGO) test --locked --workspace; \
	fi

check:             ## format, lints, docs, dependency diagram
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --document-private-items
	$(CARGO) test --locked --package crosspoint --test diagram

bench:             ## what the proxy costs: alone, and beside nginx, HAProxy and a bare relay
	@scripts/install $(PEERS)
	$(CARGO) build --locked --release --package crosspoint
	@crosspoint="$$($(CARGO) metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/crosspoint"; \
	for subject in streams relay uploads; do "$$crosspoint" bench $$subject || exit 1; done

autobahn:          ## a conformance suite of WebSockets against the relay, where Python 2.7 can be had
	$(CARGO) build --locked --release --package crosspoint-relay --example echo
	@folder="$$($(CARGO) metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')"; \
	scripts/autobahn "$$folder/release/examples/echo" "$$folder/autobahn"

format:            ## put the code in shape
	$(CARGO) fmt --all
