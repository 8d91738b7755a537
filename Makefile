# The one entry. `make help` lists what there is.
SHELL := /bin/bash
JOBS ?= $(shell nproc)
export CCACHE_DIR ?= $(HOME)/.cache/ccache-krake
export CCACHE_SLOPPINESS := pch_defines,time_macros,include_file_mtime,include_file_ctime
export ASAN_OPTIONS ?= detect_stack_use_after_return=0:strict_string_checks=1
export UBSAN_OPTIONS ?= print_stacktrace=1

.PHONY: help deps build demo ha-demo test bench tidy format sim crash faults fuzz fuzz-http mutants reference clean kube

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

deps: ## install what building and testing needs
	@tools/install-deps

build: deps ## release binaries: build/release/bin/{krake,krakectl,kubesim}
	@cmake --preset release -DKRAKE_BENCH=OFF >build/.cmake.log 2>&1 || { mkdir -p build; cmake --preset release -DKRAKE_BENCH=OFF; }
	@ninja -C build/release -j$(JOBS) krake_program krakectl_program kubesim_program

demo: build ## the main job on three simulated clusters (CLUSTERS=real: real kube-apiservers; KEEP=1 STATE=dir: leave it running)
	@tools/demo

ha-demo: build ## three servers on three etcd members; each is killed, stopped and continued in turn while clients write
	@tools/ha-demo

test: deps ## everything that decides whether a change is good: unit, conformance, simulator, demo
	@tools/run-tests

# Of so many worlds together every situation is wanted.
REACHED ?= $(if $(SCENARIO),,$(shell [ $(or $(SEEDS),1) -ge 1000 ] && echo all))
sim: deps ## one simulated world: SEED=n [SEEDS=m] [SCENARIO=name] [TRACE=file] [REACHED=all] [KEEP_GOING=1]
	@cmake --preset release -DKRAKE_BENCH=OFF >/dev/null && ninja -C build/release -j$(JOBS) krake_sim >/dev/null
	@build/release/bin/krake_sim --seed $(or $(SEED),1) --seeds $(or $(SEEDS),1) $(if $(TRACE),--trace $(TRACE)) \
	  $(if $(SCENARIO),--scenario $(if $(findstring /,$(SCENARIO)),$(SCENARIO),src/sim/scenarios/$(SCENARIO).txt),$(if $(REACHED),--scenarios src/sim/scenarios)) \
	  $(if $(REACHED),--reached $(REACHED)) $(if $(KEEP_GOING),--keep-going yes)

crash: build ## kill -9 under a write load and recount: ROUNDS=n
	@tools/crash --rounds $(or $(ROUNDS),5)

faults: build ## faults on real processes, the network and disks: ONLY=case [ETCD=3.4|3.6]
	@test/faults/run.py build/release/bin --etcd $(or $(ETCD),3.4) $(if $(ONLY),--only $(ONLY))
	@$(if $(ONLY),,test/faults/etcd_roles.py build/release/bin --etcd $(or $(ETCD),3.4))

fuzz: deps ## looks for inputs that break a parser: FUZZ_SECONDS=60 for each, ONLY=target
	@tools/fuzz $(ONLY)

fuzz-http: build ## requests made from the server's own OpenAPI document: FUZZ_SECONDS=60 SEED=1
	@test/fuzz/http_fuzz.py build/release/bin --seconds $(or $(FUZZ_SECONDS),60) --seed $(or $(SEED),1)

mutants: deps ## each test/mutants/*.patch must be killed by a test
	@tools/mutants

bench: deps ## the table of docs/design/bench: ours, the reference measured in the same run, ratio
	@tools/run-bench

reference: build ## docs/reference/*.md from the OpenAPI document of the program
	@tools/reference.py build/release/bin/krake

tidy: deps ## format, layers, house rules, clang-tidy
	@tools/tidy.py

format: ## rewrite all sources with clang-format
	@git ls-files '*.h' '*.cc' | xargs clang-format-19 -i

kube: ## the test control plane's binary (a real kube-apiserver), built once into a cache folder
	@test/kube/build.sh

clean: ## forget all builds
	@rm -rf build
