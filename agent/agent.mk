# SPDX-License-Identifier: MIT
# The code that runs inside the target: freestanding, position independent,
# general registers only, and never instrumented by a sanitizer.
AGENT_CFLAGS := -std=gnu17 -O2 -g -ffreestanding -fPIC -mgeneral-regs-only -fno-stack-protector \
	-fcf-protection=none -fasynchronous-unwind-tables -fno-jump-tables -fvisibility=hidden \
	-fomit-frame-pointer -fno-tree-loop-distribute-patterns -Wall -Wextra -Werror
ifneq ($(findstring clang,$(CC)),)
AGENT_CFLAGS := $(filter-out -fno-tree-loop-distribute-patterns,$(AGENT_CFLAGS)) -fno-builtin
endif

AGENT_NAMES   := entry_x86_64 handler calls ring walker powers memo rules spans send
AGENT_OBJECTS := $(AGENT_NAMES:%=$(BUILD)/agent/%.agent.o)

$(BUILD)/agent/%.agent.o: agent/%.c
	@mkdir -p $(@D)
	$(CC) -I. $(AGENT_CFLAGS) -fstack-usage -MMD -MP -c -o $@ $<

$(BUILD)/agent/%.agent.o: agent/%.S
	@mkdir -p $(@D)
	$(CC) -I. -MMD -MP -c -o $@ $<

$(BUILD)/agent/agent.elf: $(AGENT_OBJECTS) agent/agent.lds
	$(LD) -static -nostdlib --no-undefined --build-id=none -S -T agent/agent.lds -o $@ $(filter %.o,$^)

$(BUILD)/agent/agent.bin: $(BUILD)/agent/agent.elf
	objcopy -O binary -j .text $< $@

$(BUILD)/agent/blob.o: agent/blob.S $(BUILD)/agent/agent.bin $(BUILD)/agent/agent.elf
	$(CC) -DAGENT_BIN='"$(BUILD)/agent/agent.bin"' -DAGENT_ELF='"$(BUILD)/agent/agent.elf"' \
		-c -o $@ $<

$(BUILD)/agent.a: $(BUILD)/agent/blob.o
	rm -f $@ && ar rcs $@ $^
