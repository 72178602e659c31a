# SPDX-License-Identifier: MIT
# What the suites attach, remote and orphan attach to, and what they run.

ATTACH_DIR     := $(BUILD)/tests/targets
ATTACH_TARGETS := $(addprefix $(ATTACH_DIR)/attach_,spin forks orphan)

# Never built with sanitizers: their registers, stacks and signals are what is tested.
$(ATTACH_DIR)/attach_%: tests/targets/attach_%.c $(addprefix tests/targets/,talk.c talk.h engine.c engine.h truth.c truth.h) \
		tests/attach.mk
	@mkdir -p $(@D)
	gcc -O2 -g $(WARN) -D_GNU_SOURCE -pthread -o $@ $< $(ATTACH_WITH_$*) tests/targets/talk.c
ATTACH_WITH_orphan := tests/targets/engine.c tests/targets/truth.c

# Order only: the runners' recipes link all their other prerequisites.
ifneq ($(filter attach remote orphan,$(SUITE)),)
check-one: | $(ATTACH_TARGETS) targets
endif
ifneq ($(filter orphan,$(SUITE)),)
check-one: | $(BUILD)/memattach
endif
$(BUILD)/tests/runner-all: | $(ATTACH_TARGETS)
