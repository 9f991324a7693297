# Everything here needs Go and make only. Third-party programs are built from the Go module proxy into bin/, at the
# versions in hack/tools/go.mod (control planes), hack/gen/go.mod (generators) and hack/lint/go.mod (linter).

BIN := $(CURDIR)/bin

# No program here needs C, so a machine without a C compiler builds the same ones.
GO_BUILD := CGO_ENABLED=0 go build

# The same bytes from the same sources and Go, wherever and from whatever copy of the repository they are built.
RELEASE_BUILD := CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false -ldflags '-s -w -buildid='

# The integration suites share two or so cores with the control planes they start, so packages run one at a time.
# -count=1: go does not see that the suites run the operator, and would take their last result for it.
INTEGRATION_FLAGS ?= -p 1 -timeout 30m -count=1
FUZZ ?= ^Fuzz
FUZZ_TIME ?= 5s
BENCH ?= .
BENCH_TIME ?= 200ms
BENCH_FLAGS ?=
SCALE_FLAGS ?=
CORPUS_FLAGS ?=
# demo-up, demo-down and demo keep their files here.
export SKOTT_DEMO_DIR ?= $(CURDIR)/.demo

# Expanded in recipes only, so that "make help" does not wait for Go.
UNIT_PACKAGES = $$(go list ./... | grep -v /test/)
GO_DIRS = $$(go list -f '{{.Dir}}' ./...)
GEN = go tool -modfile=hack/gen/go.mod

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this text.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Development

.PHONY: generate
generate: ## Generate DeepCopy methods of the API types.
	$(GEN) controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: ## Generate CRDs into config/crd/bases. RBAC is written by hand.
	$(GEN) controller-gen crd paths=./api/... output:crd:artifacts:config=config/crd/bases

.PHONY: fmt
fmt: ## Format all Go code.
	gofmt -w $(GO_DIRS)

.PHONY: vet
vet: ## Check formatting and run go vet.
	@unformatted=$$(gofmt -l $(GO_DIRS)); test -z "$$unformatted" || \
		{ echo "not formatted, run \"make fmt\":"; echo "$$unformatted"; exit 1; }
	go vet ./...

.PHONY: lint
lint: vet $(BIN)/golangci-lint ## Run vet and golangci-lint.
	$(BIN)/golangci-lint run

# Where vuln.go.dev cannot be reached: VULN_FLAGS='-db file:///a/copy'.
VULN_FLAGS ?=

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in what the code reaches (asks vuln.go.dev).
	$(GEN) govulncheck $(VULN_FLAGS) ./...

.PHONY: licences
licences: ## List the licences of all that is linked into the programs; one that is not allowed fails.
	go run ./hack/supply licences

.PHONY: verify
verify: generate manifests ## Fail when generated files differ from the committed ones.
	@changed=$$(git status --porcelain -- 'api/**/zz_generated.*' config/crd/bases); test -z "$$changed" || \
		{ echo "generated files are out of date, commit them:"; echo "$$changed"; \
		git --no-pager diff -- 'api/**/zz_generated.*' config/crd/bases; exit 1; }

##@ Test

.PHONY: test
test: vet test-unit test-fuzz test-integration test-faults ## Run all tests.

.PHONY: check
check: lint verify licences vulncheck verify-build sbom ## Run what a release needs beside the tests.

.PHONY: test-unit
test-unit: ## Run the tests that need no control plane.
	go test $(UNIT_PACKAGES)

# Finds the targets by itself. A crasher is written to testdata/fuzz beside its test: commit it with the fix.
.PHONY: test-fuzz
test-fuzz: ## Fuzz every target for FUZZ_TIME; FUZZ selects among them.
	@targets=$$(go test -list '$(FUZZ)' $(UNIT_PACKAGES) | awk '/^Fuzz/ {names = names " " $$1} \
		/^ok/ {n = split(names, name, " "); for (i = 1; i <= n; i++) print $$2 ":" name[i]; names = ""}'); \
	test -n "$$targets" || { echo "no fuzz target found"; exit 1; }; \
	for target in $$targets; do \
		echo "fuzz $$target"; \
		go test -run '^$$' -fuzz "^$${target##*:}$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 20x "$${target%:*}" || exit 1; \
	done

.PHONY: test-integration
test-integration: tools ## Run the suites against real control planes on loopback.
	go test $(INTEGRATION_FLAGS) $$(go list ./test/... | grep -v /test/faults$$)

.PHONY: test-observability
test-observability: tools ## Try alerts, dashboard and metrics with promtool and a real Prometheus.
	go test $(INTEGRATION_FLAGS) ./test/observability

.PHONY: test-faults
test-faults: tools ## Harm a platform under load in every way of docs/faults.md, and count what gets through.
	go test ./test/faults -timeout 20m -count=1 -v

.PHONY: corpus
corpus: tools ## Send an object for every row of the table of movement kinds; CORPUS_FLAGS=-update writes docs/corpus.md.
	go run ./test/corpusrun $(CORPUS_FLAGS)

.PHONY: bench
bench: tools ## Run benchmarks, then measure the policies on real API servers; BENCH selects among the former.
	go test -p 1 -timeout 60m -run '^$$' -bench '$(BENCH)' -benchtime $(BENCH_TIME) -benchmem ./internal/...
	go run ./test/bench $(BENCH_FLAGS)

ADMISSION_FLAGS ?=

.PHONY: bench-admission
bench-admission: tools ## Measure Skott beside other ways to refuse, in one API server; ADMISSION_FLAGS=-update writes docs/performance.md.
	go run ./test/bench admission -product test/bench/hooks/plain-policy.sh $(ADMISSION_FLAGS)

.PHONY: bench-scale
bench-scale: tools ## Measure the operator with 1,000 clusters, of which few are real; SCALE_FLAGS="-clusters 50 -addresses 1000" for less.
	go run ./test/scale $(SCALE_FLAGS)

.PHONY: bench-scale-shards
bench-scale-shards: tools ## Show that two operators share the work by --management-cluster-selector.
	go run ./test/scale -shards -clusters 50 -addresses 1000 -real 0 -steady 30s $(SCALE_FLAGS)

SCAN_FLAGS ?=

.PHONY: bench-scan
bench-scan: tools ## Fill an API server with 10,000 pods in 4,000 namespaces, and measure what the scan of it takes.
	go test -run '^$$' -bench 'Judge' -benchtime $(BENCH_TIME) -benchmem ./internal/controller
	go run ./test/scanbench $(SCAN_FLAGS)

.PHONY: bench-find
bench-find: ## Compare address.Finder with other matchers, in one run.
	cd test/bench/matcher && go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCH_TIME) .

##@ Demo

.PHONY: demo
demo: tools ## Start a platform, show what crosses and what does not, and stop it again.
	go run ./test/demo run

.PHONY: demo-up
demo-up: tools ## Start the demo fleet and leave it running.
	go run ./test/demo up

.PHONY: demo-down
demo-down: ## Stop what demo-up started.
	go run ./test/demo down

##@ Build

.PHONY: build
build: ## Build the operator into bin/
	$(RELEASE_BUILD) -o $(BIN)/ ./cmd/...

# Twice from nothing, in other directories with other caches: what differs would be of the machine and not of the code.
.PHONY: verify-build
verify-build: ## Build everything twice and fail unless the programs are the same, byte by byte.
	@dir=$$(mktemp -d) && trap 'chmod -R u+w "$$dir" && rm -rf "$$dir"' EXIT && set -e && \
	for n in 1 2; do \
		mkdir -p "$$dir/$$n/src" && git ls-files -z -co --exclude-standard | tar --null -T - -c | tar -x -C "$$dir/$$n/src"; \
		(cd "$$dir/$$n/src" && GOCACHE="$$dir/$$n/cache" $(RELEASE_BUILD) -o "$$dir/$$n/" ./cmd/...) && rm -rf "$$dir/$$n/cache"; \
	done && \
	for program in manager kubectl-skott; do \
		cmp "$$dir/1/$$program" "$$dir/2/$$program" && echo "$$(sha256sum < "$$dir/1/$$program" | cut -d' ' -f1)  $$program, twice"; \
	done

.PHONY: sbom
sbom: build ## Write what the programs are made of into dist/*.cdx.json (CycloneDX).
	go run ./hack/supply -o dist sbom $(BIN)/manager $(BIN)/kubectl-skott

.PHONY: build-installer
build-installer: manifests $(BIN)/kubectl ## Write dist/install.yaml, everything Skott needs in one file.
	@mkdir -p dist
	$(BIN)/kubectl kustomize config/default > dist/install.yaml

.PHONY: clean
clean: ## Remove what was built, except the tools, which take long to build.
	rm -rf dist $(BIN)/manager $(BIN)/kubectl-skott

##@ Tools

TOOLS := kube-apiserver etcd kubectl capi-core

.PHONY: tools
tools: $(TOOLS:%=$(BIN)/%) $(BIN)/crds $(BIN)/prometheus ## Build control plane binaries, fetch CRDs and Prometheus, where missing or outdated.

# Clients compare versions with the server's, which the linker sets as upstream's own build does.
K8S_VERSION = $$(go list -C hack/tools -m -f '{{.Version}}' k8s.io/kubernetes)
VERSION_PACKAGE := k8s.io/component-base/version
BUILD_K8S = version=$(K8S_VERSION) && minor=$${version\#v1.} && $(GO_BUILD) -C hack/tools -ldflags "-s -w \
	-X $(VERSION_PACKAGE).gitVersion=$$version -X $(VERSION_PACKAGE).gitMajor=1 \
	-X $(VERSION_PACKAGE).gitMinor=$${minor%%.*}" -o $@

$(BIN)/kube-apiserver $(BIN)/kubectl: hack/tools/go.mod
	$(BUILD_K8S) k8s.io/kubernetes/cmd/$(@F)

$(BIN)/etcd: hack/tools/go.mod
	$(GO_BUILD) -C hack/tools -ldflags '-s -w' -o $@ go.etcd.io/etcd/server/v3

# The manager has no flag for the address of its webhook server and listens on every one. It is therefore built with
# a copy of controller-runtime in which that address defaults to loopback. Copy and patch exist only while it builds.
CAPI_SRC := $(BIN)/src
$(BIN)/capi-core: hack/tools/go.mod
	rm -rf $(CAPI_SRC) && mkdir -p $(CAPI_SRC)
	go mod download -C hack/tools sigs.k8s.io/controller-runtime
	cp -r "$$(go list -C hack/tools -m -f '{{.Dir}}' sigs.k8s.io/controller-runtime)" $(CAPI_SRC)/controller-runtime
	chmod -R u+w $(CAPI_SRC)
	sed -i 's/^func (o \*Options) setDefaults() {$$/&\n\tif o.Host == "" { o.Host = "127.0.0.1" }/' \
		$(CAPI_SRC)/controller-runtime/pkg/webhook/server.go
	grep -q 'o.Host = "127.0.0.1"' $(CAPI_SRC)/controller-runtime/pkg/webhook/server.go
	cp hack/tools/go.mod $(CAPI_SRC)/tools.mod && cp hack/tools/go.sum $(CAPI_SRC)/tools.sum
	go mod edit -replace sigs.k8s.io/controller-runtime=$(CAPI_SRC)/controller-runtime $(CAPI_SRC)/tools.mod
	$(GO_BUILD) -C hack/tools -modfile=$(CAPI_SRC)/tools.mod -ldflags '-s -w' -o $@ sigs.k8s.io/cluster-api/core
	rm -rf $(CAPI_SRC)

# Some 900 MB of modules pass through, a few at a time; 20 MB stay. What has not changed is not fetched again.
$(BIN)/crds: hack/crds/modules.yaml hack/crds/main.go hack/crds/extract.go
	go run ./hack/crds -o $@
	@touch $@

$(BIN)/golangci-lint: hack/lint/go.mod
	$(GO_BUILD) -C hack/lint -ldflags '-s -w' -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# A package of Debian with a pinned checksum: to build it takes longer than all the tests that need it.
$(BIN)/prometheus: hack/prometheus/fetch.sh
	@mkdir -p $(BIN)
	hack/prometheus/fetch.sh $(BIN)
