# kvstore: `make` builds with optimisation, `make run` starts a cluster, `make
# test` builds and runs every test; `make help` lists the rest.

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

CFLAGS_release  := -O2 -g -DKV_JEMALLOC
LIBS_release    := $(shell pkg-config --libs jemalloc 2>/dev/null)
CFLAGS_debug    := -Og -g3 -DKV_JEMALLOC
LIBS_debug      := $(LIBS_release)
CFLAGS_asan     := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
LIBS_asan       := -fsanitize=address,undefined
CFLAGS_coverage := -O0 -g --coverage -DKV_JEMALLOC
LIBS_coverage   := --coverage $(LIBS_release)

ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -Isrc -fno-strict-aliasing $(WARNINGS) $(CFLAGS_$(VARIANT)) $(PKG_CFLAGS) $(CFLAGS)
ALL_LIBS   = $(LIBS_$(VARIANT)) $(PKG_LIBS) -lm -lpthread $(LDFLAGS)

MAIN    := src/server/main.c
SOURCES := $(filter-out $(MAIN),$(wildcard src/*/*.c))
OBJECTS := $(SOURCES:%.c=$(OUT)/%.o)
room_objects = $(patsubst %.c,$(OUT)/%.o,$(filter-out $(MAIN),$(wildcard src/$(1)/*.c)))

.DEFAULT_GOAL := all
.PHONY: all
all: $(OUT)/kvstore-server

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# One archive per room, so that a test links its room and what lies below it.
define room_archive
$(OUT)/lib$(1).a: $(call room_objects,$(1))
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach room,$(ROOMS_BOTTOM_UP),$(eval $(call room_archive,$(room))))
reverse = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
ROOMS_TOP_DOWN := $(call reverse,$(ROOMS_BOTTOM_UP))
ARCHIVES := $(ROOMS_TOP_DOWN:%=$(OUT)/lib%.a)

$(OUT)/kvstore-server: $(OUT)/$(MAIN:%.c=%.o) $(ARCHIVES)
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LIBS)

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
	$$(CC) $$(ALL_CFLAGS) -o $$@ $$^ -lcmocka $$(ALL_LIBS)
endef
$(foreach source,$(UNIT_SOURCES),$(eval $(call unit_rule,$(source))))
# One test alone: make unit-run TEST=tests/unit/base/test_slice
.PHONY: unit-run
unit-run: $(OUT)/$(TEST)
	$(OUT)/$(TEST)

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
