# kvstore: `make` builds with optimisation, `make run` starts a cluster, `make
# test` builds and runs every test; `make help` lists the rest.
#
# VARIANT is release, debug, asan or coverage; everything built lands in OUT,
# so variants live side by side.  Another compiler wants another OUT:
#   make CC=clang OUT=build/clang

VARIANT ?= release
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
OUT     ?= build/$(VARIANT)
PREFIX  ?= /usr/local
REPLICAS ?= 3

ROOMS_BOTTOM_UP := base net resp pubsub store consensus persist command replica gateway admin server

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla
PACKAGES := libevent_core hiredis liblz4 libxxhash
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null | sed 's/-I/-isystem /g')
PKG_LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
# Expanded in recipes: stops with a sentence instead of a missing header.
HAVE_PACKAGES := $(shell pkg-config --exists $(PACKAGES) jemalloc 2>/dev/null && echo yes)
need_packages = $(if $(HAVE_PACKAGES),,$(error libraries are missing: run deps/install.sh, then make again))

CFLAGS_release  := -O2 -g -DKV_JEMALLOC
LIBS_release    := $(shell pkg-config --libs jemalloc 2>/dev/null)
# xxhash demands inlining through pointers, which -Og does not do.
CFLAGS_debug    := -Og -g3 -DKV_JEMALLOC -DXXH_NO_INLINE_HINTS=1
LIBS_debug      := $(LIBS_release)
CFLAGS_asan     := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
LIBS_asan       := -fsanitize=address,undefined
CFLAGS_coverage := -O0 -g --coverage -DKV_JEMALLOC
LIBS_coverage   := --coverage $(LIBS_release)

ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -Isrc -fno-strict-aliasing $(WARNINGS) $(CFLAGS_$(VARIANT)) $(PKG_CFLAGS) $(CFLAGS)
ALL_LIBS   = $(LIBS_$(VARIANT)) $(PKG_LIBS) -llzf -lm -lpthread $(LDFLAGS)

MAIN    := src/server/main.c
MAINS   := $(MAIN) src/persist/check_main.c
SOURCES := $(filter-out $(MAINS),$(wildcard src/*/*.c))
OBJECTS := $(SOURCES:%.c=$(OUT)/%.o)
room_objects = $(patsubst %.c,$(OUT)/%.o,$(filter-out $(MAINS),$(wildcard src/$(1)/*.c)))

.DEFAULT_GOAL := all
.PHONY: all
all: $(OUT)/kvstore-server

# QUIET=1 keeps command lines out of the output.
Q := $(if $(QUIET),@)

$(OUT)/%.o: %.c
	$(need_packages)@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# One archive per room, so that a test links its room and what lies below it.
define room_archive
$(OUT)/lib$(1).a: $(call room_objects,$(1))
	@rm -f $$@
	$(Q)ar rcs $$@ $$^
endef
$(foreach room,$(ROOMS_BOTTOM_UP),$(eval $(call room_archive,$(room))))
reverse = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
ROOMS_TOP_DOWN := $(call reverse,$(ROOMS_BOTTOM_UP))
ARCHIVES := $(ROOMS_TOP_DOWN:%=$(OUT)/lib%.a)

$(OUT)/kvstore-server: $(OUT)/$(MAIN:%.c=%.o) $(ARCHIVES)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LIBS)

# --- kvstore-check: journals and snapshots, by persist and what lies below it ----
all: $(OUT)/kvstore-check
$(OUT)/kvstore-check: $(OUT)/src/persist/check_main.o $(OUT)/libpersist.a $(OUT)/libconsensus.a $(OUT)/libstore.a \
    $(OUT)/libbase.a
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LIBS)

# --- unit tests: tests/unit/<room>/test_*.c, cmocka ---------------------------
UNIT_SOURCES := $(wildcard tests/unit/*/test_*.c)
UNIT_TESTS   := $(UNIT_SOURCES:%.c=$(OUT)/%)
.PHONY: unit-build
unit-build: $(UNIT_TESTS)

# What a room's test links: the room and every room below it in style.md.
BELOW_base :=
BELOW_net := base
BELOW_resp := base
BELOW_store := base
BELOW_pubsub := base
BELOW_consensus := base
BELOW_persist := consensus store base
BELOW_command := store pubsub resp base
BELOW_replica := command persist store pubsub resp consensus net base
BELOW_admin := replica $(BELOW_replica)
BELOW_gateway := replica $(BELOW_replica)
BELOW_server := admin gateway replica $(BELOW_replica)
room_of = $(word 3,$(subst /, ,$(1)))
test_archives = $(foreach room,$(call room_of,$(1)) $(BELOW_$(call room_of,$(1))),$(OUT)/lib$(room).a)
define unit_rule
$(OUT)/$(1:%.c=%): $(OUT)/$(1:%.c=%.o) $(call test_archives,$(1))
	$(Q)$$(CC) $$(ALL_CFLAGS) -o $$@ $$^ -lcmocka $$(ALL_LIBS)
endef
$(foreach source,$(UNIT_SOURCES),$(eval $(call unit_rule,$(source))))
# One test alone: make unit-run TEST=tests/unit/base/test_slice
.PHONY: unit-run
unit-run: $(OUT)/$(TEST)
	$(OUT)/$(TEST)

# Every room's archive and the unit tests, without the server.
.PHONY: archives
archives: $(ARCHIVES)

# --- simulator ------------------------------------------------------------------
SIM_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/sim/*.c))
SIM_OBJECTS += $(OUT)/src/replica/proposer.o $(OUT)/src/replica/batch_code.o
$(OUT)/tests/sim/simulate: $(SIM_OBJECTS) $(OUT)/libconsensus.a $(OUT)/libbase.a
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LIBS)

# make sim SEEDS=5000 SEED=1: the checkers' own test, the seeds that once
# failed, then so many from SEED on.
SEEDS ?= 1000
SEED  ?= 1
.PHONY: sim
sim: $(OUT)/tests/sim/simulate
	$(OUT)/tests/sim/simulate --self-test
	$(OUT)/tests/sim/simulate --file tests/sim/seeds.txt
	$(OUT)/tests/sim/simulate --seed $(SEED) --seeds $(SEEDS)

# --- mutants of the ordering core -----------------------------------------------
# make mutation [MUTANTS="3 14"]: every broken rule must be noticed by a test.
.PHONY: mutation
mutation:
	tests/mutation/run.sh $(MUTANTS)

# --- load generator of the benchmark ------------------------------------------
$(OUT)/load: $(OUT)/tests/bench/load.o
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(LDFLAGS)

# --- fuzzers ------------------------------------------------------------------
# tests/fuzz/fuzz_<name>.c, each with its corpus in tests/fuzz/corpus/<name>.
# New inputs stay in build/; FUZZ=<name> runs one alone.
FUZZ_OUT := build/fuzz
FUZZ     ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
SECONDS  ?= 30
FUZZ_SAN := -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
.PHONY: fuzz
fuzz:
	+@set -e; for name in $(FUZZ); do \
	    $(MAKE) --no-print-directory -s CC=clang OUT=$(FUZZ_OUT) VARIANT=fuzz $(FUZZ_OUT)/fuzz_$$name; \
	    mkdir -p $(FUZZ_OUT)/found/$$name tests/fuzz/corpus/$$name; \
	    echo "fuzz_$$name: $(SECONDS) s"; \
	    $(FUZZ_OUT)/fuzz_$$name -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
	        -verbosity=0 -print_final_stats=1 -artifact_prefix=$(FUZZ_OUT)/ \
	        $(FUZZ_OUT)/found/$$name tests/fuzz/corpus/$$name; \
	done
CFLAGS_fuzz := $(FUZZ_SAN) -fsanitize=fuzzer-no-link
LIBS_fuzz   := $(FUZZ_SAN)
# The rooms a fuzzer links, top down; all of them unless named here.
FUZZ_ROOMS_resp := resp base
FUZZ_ROOMS_journal := persist store base
FUZZ_ROOMS_listpack := store base
FUZZ_ROOMS_restore := store base
fuzz_archives = $(foreach room,$(or $(FUZZ_ROOMS_$(1)),$(ROOMS_TOP_DOWN)),$(OUT)/lib$(room).a)
define fuzz_rule
$(OUT)/fuzz_$(1): tests/fuzz/fuzz_$(1).c $(call fuzz_archives,$(1))
	$$(CC) $$(ALL_CFLAGS) -fsanitize=fuzzer -o $$@ $$^ $$(ALL_LIBS)
endef
$(foreach name,$(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c)),$(eval $(call fuzz_rule,$(name))))

# --- torture ----------------------------------------------------------------------
# Real replicas on disks that lose power, behind a network that breaks:
#   make torture MINUTES=10 [SEED=n]    the seed repeats the faults
MINUTES ?= 5
build/torture/disk.so: tests/torture/disk.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -g -Wall -Wextra -fPIC -shared -o $@ $< -ldl -lpthread
build/torture/switch: tests/torture/switch.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -g $(WARNINGS) -o $@ $<
.PHONY: torture torture-build
torture-build: build/torture/disk.so build/torture/switch
torture: all torture-build
	@KVSTORE_SERVER=$(OUT)/kvstore-server $(PYTHON) tests/torture/torture.py --minutes $(MINUTES) \
	    $(if $(filter command line environment,$(origin SEED)),--seed $(SEED))
# --- end of torture ---------------------------------------------------------------

# --- ways in --------------------------------------------------------------------
# What installs packages starts make anew: the PKG_ variables above are read
# when a Makefile is parsed.
PYTHON := /usr/bin/python3
JOBS   ?= $(shell nproc)
SUBMAKE = $(MAKE) --no-print-directory -j$(JOBS) QUIET=1

.PHONY: run test lint bench install clean help debug asan coverage deps
deps:
	@deps/install.sh build

run: deps
	@$(SUBMAKE) all
	@$(PYTHON) utils/cluster run -n $(REPLICAS) --binary $(OUT)/kvstore-server $(if $(PORT),--port $(PORT))

# One stage alone: make test STAGES="unit command"; tests/run --list names them.
test:
	@deps/install.sh build test
	@$(PYTHON) tests/run $(STAGES)

lint:
	@$(PYTHON) utils/lint --self-test tests/lint-fixtures
	@$(PYTHON) utils/lint

bench:
	@deps/install.sh build test
	@$(SUBMAKE) all $(OUT)/load
	@$(PYTHON) tests/bench/bench.py --binary $(OUT)/kvstore-server --load $(OUT)/load $(BENCH)

debug asan:
	@$(SUBMAKE) VARIANT=$@ OUT=build/$@ all

# Line coverage by the unit and command tests: build/coverage/report.txt.
coverage:
	@deps/install.sh build test
	@$(SUBMAKE) VARIANT=coverage OUT=build/coverage all unit-build
	@find build/coverage -name '*.gcda' -delete
	@KVSTORE_SERVER=build/coverage/kvstore-server $(PYTHON) tests/run --out build/coverage --no-build unit command
	@gcovr -r . build/coverage -e tests/ -o build/coverage/report.txt; tail -n 4 build/coverage/report.txt

install: all
	install -D -m 755 $(OUT)/kvstore-server $(DESTDIR)$(PREFIX)/bin/kvstore-server
	install -D -m 755 $(OUT)/kvstore-check $(DESTDIR)$(PREFIX)/bin/kvstore-check
	install -D -m 644 kvstore.conf $(DESTDIR)$(PREFIX)/share/kvstore/kvstore.conf

clean:
	rm -rf build

help:
	@echo 'make                     build with optimisation: build/release/kvstore-server'
	@echo 'make run [REPLICAS=3]    install what is missing, build, run a cluster until Ctrl-C'
	@echo 'make test [STAGES=...]   build with two compilers and sanitizers, run every test'
	@echo 'make lint                includes, banned calls, headers, blanks'
	@echo 'make sim SEEDS=N         simulate N clusters'
	@echo 'make mutation            breaks each rule of the ordering core; a test must notice'
	@echo 'make fuzz SECONDS=N      each fuzzer for N seconds'
	@echo 'make torture MINUTES=N   replicas, power cuts, broken networks; SEED=n repeats'
	@echo 'make bench [BENCH=...]   against redis-server; BENCH="--quick", "--pairs 7"'
	@echo 'make debug | asan        build/debug, build/asan'
	@echo 'make coverage            line coverage of the unit and command tests'
	@echo 'make install PREFIX=DIR  server and kvstore.conf under DIR (default $(PREFIX))'
	@echo 'make clean               remove build/'

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
