# SPDX-License-Identifier: MIT
# What the suites unwind* attach to and link.

UNWIND_DIR     := $(BUILD)/tests/targets
# Targets are never built with sanitizers: their frames are what is tested.
UNWIND_CFLAGS  := -std=gnu17 $(WARN) -D_GNU_SOURCE -Itests/targets
UNWIND_SHAPES  := O2 O0 lazy static static_pie realign frame_pointer debug_frame clang musl
UNWIND_TARGETS := $(UNWIND_SHAPES:%=$(UNWIND_DIR)/unwind_shapes_%) $(UNWIND_DIR)/unwind_exception

UNWIND_FLAGS_O2            := -O2 -fomit-frame-pointer
UNWIND_FLAGS_O0            := -O0
UNWIND_FLAGS_lazy          := -O2 -fcf-protection=none -Wl,-z,lazy -no-pie -fno-pie
UNWIND_FLAGS_static        := -O2 -static
UNWIND_FLAGS_static_pie    := -O2 -static-pie
UNWIND_FLAGS_realign       := -O2 -mstackrealign -mavx -fomit-frame-pointer
UNWIND_FLAGS_frame_pointer := -O1 -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-omit-frame-pointer
UNWIND_FLAGS_debug_frame   := -O2 -g -gz=zlib -fno-asynchronous-unwind-tables -fno-unwind-tables -fomit-frame-pointer
UNWIND_FLAGS_clang         := -O2
UNWIND_FLAGS_musl          := -O2 -static
UNWIND_CC_clang            := clang
UNWIND_CC_musl             := musl-gcc

$(UNWIND_DIR)/unwind_shapes_%: tests/targets/unwind_shapes.c tests/targets/unwind_stop.h tests/unwind.mk
	@mkdir -p $(@D)
	$(or $(UNWIND_CC_$*),gcc) $(UNWIND_CFLAGS) $(UNWIND_FLAGS_$*) -o $@ $< -lpthread

$(UNWIND_DIR)/unwind_exception: tests/targets/unwind_exception.cc tests/targets/unwind_stop.h tests/unwind.mk
	@mkdir -p $(@D)
	g++ -O2 $(WARN) -Itests/targets -o $@ $<

# The walker as the agent will compile it: it may use nothing but itself.
UNWIND_FREESTANDING := $(BUILD)/tests/unwind_freestanding.o
$(UNWIND_FREESTANDING): tests/targets/unwind_freestanding.c unwind/walk.h unwind/table.h
	@mkdir -p $(@D)
	$(CC) -I. -std=gnu17 -O2 $(WARN) -ffreestanding -nostdlib -mgeneral-regs-only -fPIC \
		-fno-stack-protector -c -o $@ $<
	@if nm -u $@ | grep . ; then echo "unwind/walk.h needs symbols from outside"; exit 1; fi

# Order only: the runners' recipes link all their other prerequisites.
ifneq ($(filter unwind%,$(SUITE)),)
check-one: | $(UNWIND_TARGETS) $(UNWIND_FREESTANDING)
endif
$(BUILD)/tests/runner-all: | $(UNWIND_TARGETS) $(UNWIND_FREESTANDING)
