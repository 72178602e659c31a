# SPDX-License-Identifier: MIT
#
#   make            build/memattach
#   make check      all tests (installs missing packages first)
#   make check-one SUITE="ledger stacks"   only these test files, while working on one part
#   make check-asan the same tests with memattach and the tests under ASan and UBSan
#   make demo       a leaking service, found while it runs
#   make bench      the measurements of README, as ratios within one run
#   make install    PREFIX=/usr/local, DESTDIR=

VERSION := 0.1.0
PREFIX  ?= /usr/local
BUILD   ?= build
# make's own default is cc.
ifeq ($(origin CC),default)
CC := gcc
endif

CFLAGS   ?= -O2 -g
WARN     := -Wall -Wextra -Werror
CPPFLAGS += -I. -D_GNU_SOURCE -DMEMATTACH_VERSION='"$(VERSION)"'
ALL_CFLAGS = -std=gnu17 $(CFLAGS) $(WARN) $(SANITIZE) -MMD -MP
LDLIBS   := -ldw -lelf -llzma -lunwind-ptrace -lunwind-x86_64 -lZydis -ljansson -liberty -lm -lpthread

ifeq ($(SAN),1)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
endif

# Highest floor first: the linker's order, too.
FOLDERS := report probe heap attach symbols unwind ledger proc base
LIBS    := $(foreach f,$(FOLDERS),$(if $(wildcard $(f)/*.c),$(BUILD)/$(f).a)) $(BUILD)/agent.a

all: $(BUILD)/memattach

$(BUILD)/memattach: $(BUILD)/memattach.o $(BUILD)/options.o $(BUILD)/output.o $(BUILD)/session.a $(LIBS)
	$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# One archive per folder; session is the files at the top that are not options or main.
SESSION := $(filter-out memattach.c options.c output.c,$(wildcard *.c))
$(BUILD)/session.a: $(SESSION:%.c=$(BUILD)/%.o)
	rm -f $@ && ar rcs $@ $^

define folder_rule
$(BUILD)/$(1).a: $$(patsubst %.c,$(BUILD)/%.o,$$(wildcard $(1)/*.c)) $$(patsubst %.S,$(BUILD)/%.o,$$(wildcard $(1)/*.S))
	rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rule,$(f))))

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/%.o: %.S
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

include agent/agent.mk install.mk
include tests/tests.mk
# The others, but for those that tests.mk has included itself.
include $(filter-out $(MAKEFILE_LIST),$(sort $(wildcard tests/*.mk)))
-include demo/demo.mk bench/bench.mk

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

clean:
	rm -rf $(BUILD)

.PHONY: all clean
.DELETE_ON_ERROR:
