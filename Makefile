# Everything needs Go alone. The lab's components are built from Go modules once and cached.

GO      ?= go
BIN     := bin/tidegate
SOURCES := $(shell find cmd internal k8s -name '*.go' -o -name '*.yaml' -o -name '*.pin' -o -name '*.html') go.mod go.sum

# Prometheus reads the first document of a file alone, and Sloth writes one for each service: they become one.
SLOTH_VERSION = $(shell $(GO) list -modfile=tools/prometheus/go.mod -m -f '{{.Version}}' github.com/slok/sloth)
define slo_rules
mkdir -p bin
$(GO) run -modfile=tools/prometheus/go.mod -ldflags='-X github.com/slok/sloth/internal/info.Version=$(SLOTH_VERSION)' \
	github.com/slok/sloth/cmd/sloth generate --no-log -i observability/slo/teei.yaml -o bin/slo-documents.yaml
awk 'NF && !(/^(---|# |groups:)/ && seen[$$0]++)' bin/slo-documents.yaml > $(1)
endef

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: $(BIN) ## build bin/tidegate

$(BIN): $(SOURCES)
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./cmd/tidegate

.PHONY: demo
demo: $(BIN) ## four real regions: a good release, a bad one, a rollback; nothing is left behind
	$(BIN) demo

.PHONY: test
test: $(BIN) ## everything: unit tests, then the real regions
	$(GO) test ./...
	$(BIN) lab build
	$(GO) test -tags lab -count=1 -p 1 -timeout 40m ./internal/lab/... ./test/...

.PHONY: generate
generate: ## what is made from something else: CRDs, SLO rules
	$(GO) run ./internal/crdgen
	$(call slo_rules,observability/slo/rules.yaml)

.PHONY: lint
lint: ## gofmt, vet, golangci-lint, govulncheck
	@unformatted=$$(gofmt -l cmd docs images internal k8s observability test tools); if [ -n "$$unformatted" ]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags lab,nightly ./...
	$(GO) tool -modfile=tools/go.mod golangci-lint run --build-tags lab,nightly
	$(GO) vet -C tools/prometheus ./...
	$(call slo_rules,bin/slo-rules.yaml)
	@diff -u observability/slo/rules.yaml bin/slo-rules.yaml || { echo "observability/slo/rules.yaml is not what Sloth makes of teei.yaml; run: make generate"; exit 1; }
	@out=$$($(GO) tool -modfile=tools/go.mod govulncheck ./... 2>&1); code=$$?; \
	case "$$out" in \
	*"fetching vulnerabilities"*) echo "govulncheck: skipped, its database at vuln.go.dev cannot be reached from here" ;; \
	*) echo "$$out"; exit $$code ;; \
	esac

.PHONY: bench
bench: $(BIN) ## benchmarks, each against a baseline of the same run
	$(GO) test -run '^$$' -bench . ./...
	$(BIN) lab build
	$(GO) test -tags lab -run '^$$' -bench . -benchtime 3x -timeout 30m ./test/...

.PHONY: nightly
nightly: $(BIN) ## every gate loosened on purpose, in every way: the table of gates must notice
	$(BIN) lab build
	$(GO) test -tags lab,nightly -count=1 -run Loosened -timeout 20m -v ./test/gates

.PHONY: clean
clean: ## remove what was built here
	rm -rf bin
