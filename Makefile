# Every target does its own set-up on a fresh Debian or Ubuntu machine: root, and Node 20 or newer with npm.

.PHONY: demo test test-cluster bench lint simulate clean

SETUP := sh test/setup.sh

# A node, two pods and a client in network namespaces, with the agent at work. KEEP=1 leaves it running.
demo:
	@$(SETUP)
	@KEEP=$(KEEP) npm run --silent demo

# Unit, property, simulation and kernel tests. FILES="test/core/*.test.ts" runs only these.
test:
	@$(SETUP)
	@npm run --silent test -- $(FILES)

# A real Kubernetes on this machine, with the agent as it is deployed. The first run builds Kubernetes (3 to 20 minutes); later
# runs need none of that. FILES="test/cluster/deploy.test.ts" runs only these, KEEP=1 leaves the cluster up. With KUBECONFIG the
# tests run against that cluster, with KUBEBUILDER_ASSETS against the API server in that directory.
test-cluster:
	@$(SETUP)
	@test/cluster/run.sh $(FILES)

# The budgets, as ratios measured in one run.
bench:
	@$(SETUP) bench
	@npm run --silent bench

lint:
	@$(SETUP)
	@npm run --silent lint

# The whole agent under a virtual clock. SEEDS is how many seeds, SEED replays one.
simulate:
	@$(SETUP)
	@SEEDS=$(SEEDS) SEED=$(SEED) npm run --silent simulate

clean:
	rm -rf node_modules proto/generated dist
