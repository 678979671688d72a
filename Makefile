# Every target of the house, one line each; `make help` prints them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
NODE := .bin/node
.PHONY: help setup build run stop test soak check bench conformance critest controller-runtime gvisor vm-test kubelet moby fmt clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 27

setup: ## install what is missing on a Debian 12 machine (as root); changes no kernel state
	@tools/setup.sh

build: setup ## bundle the published package into dist/
	@$(NODE) tools/build.ts

run: build ## start the platform, deploy the example application, print how to reach it
	@bin/umiak up
	@$(NODE) examples/run.ts

stop: ## stop what `make run` started; only its data stays
	@bin/umiak down --containers

test: setup ## run every test: units, then real containers, then what must run alone
	@$(NODE) tools/test.ts

soak: setup ## the same with the long forms of crash, random and set-up tests
	@$(NODE) tools/test.ts --soak

check: setup ## types, lint, layers and the tests that need no root, in about a minute
	@$(NODE) tools/check.ts

bench: build ## measure against peers in the same run (PEERS=kubernetes builds kube-apiserver and etcd too)
	@$(NODE) bench/run.ts $(ONLY)

conformance: setup ## run Kubernetes' own conformance specs, all or some (AREA=node FOCUS=… LIST=1); needs Go once
	@$(NODE) --disable-warning=ExperimentalWarning conformance/run.ts

critest: setup ## run the CRI validation suite, all or some (FOCUS=… HANDLER=runc WEBSOCKET=1), builds crictl too; needs Go once
	@$(NODE) --disable-warning=ExperimentalWarning critest/run.ts

controller-runtime: setup ## run a controller made with controller-runtime (leader, webhooks, owned objects); needs Go
	@cd tests/controller-runtime && CGO_ENABLED=0 nice go build -ldflags '-s -w' -o ../../.cache/controller-runtime/boats .
	@UMIAK_CONTROLLER_RUNTIME=$(CURDIR)/.cache/controller-runtime/boats $(NODE) tools/test.ts tests/controller-runtime

gvisor: setup ## build runsc, for `runtimes` and the tests of it; needs Go
	@cd gvisor && CGO_ENABLED=0 nice go build -trimpath -ldflags '-s -w' -o ../.cache/gvisor/runsc gvisor.dev/gvisor/runsc

vm-test: setup ## run the engine's tests with control groups v2, quotas, AppArmor and criu: Debian's kernel under QEMU (TESTS=… SYSTEMD=1); needs QEMU
	@dpkg -s qemu-system-x86 apparmor criu iptables >/dev/null 2>&1 || apt-get install -y --no-install-recommends qemu-system-x86 apparmor criu iptables
	@$(NODE) vm/run.ts $(if $(SYSTEMD),--systemd) $(TESTS)

kubelet: setup ## run a real kubelet over cri.sock against our API, our own node agent off; needs Go once
	@UMIAK_KUBELET=$$($(NODE) kubelet-judge/build.ts) $(NODE) tools/test.ts kubelet-judge

moby: setup ## run moby's own integration tests, all or some (FOCUS=… over tests' names), against docker.sock; needs Go once
	@UMIAK_MOBY=$$($(NODE) moby-judge/build.ts) $(NODE) tools/test.ts --soak moby-judge

fmt: setup ## format and mend what Biome can mend
	@.bin/biome check --write

clean: ## remove what was built or downloaded here: node_modules, dist, caches
	rm -rf node_modules dist .bin .cache
