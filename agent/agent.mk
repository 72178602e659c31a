# SPDX-License-Identifier: MIT
# The code that runs inside the target: freestanding, position independent,
# general registers only, and never instrumented by a sanitizer.
AGENT_CFLAGS := -std=gnu17 -O2 -ffreestanding -fPIC -mgeneral-regs-only -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables -fno-jump-tables -fvisibility=hidden \
	-Wall -Wextra -Werror

$(BUILD)/agent/%.agent.o: agent/%.c agent/abi.h
	@mkdir -p $(@D)
	$(CC) -I. $(AGENT_CFLAGS) -c -o $@ $<

$(BUILD)/agent/%.agent.o: agent/%.S
	@mkdir -p $(@D)
	$(CC) -I. -c -o $@ $<

$(BUILD)/agent/agent.elf: $(BUILD)/agent/entry_x86_64.agent.o $(BUILD)/agent/handler.agent.o agent/agent.lds
	$(LD) -static -nostdlib --no-undefined --build-id=none -T agent/agent.lds -o $@ $(filter %.o,$^)

$(BUILD)/agent/agent.bin: $(BUILD)/agent/agent.elf
	objcopy -O binary -j .text $< $@

$(BUILD)/agent/blob.o: agent/blob.S $(BUILD)/agent/agent.bin
	$(CC) -DAGENT_BIN='"$(BUILD)/agent/agent.bin"' -c -o $@ $<

$(BUILD)/agent.a: $(BUILD)/agent/blob.o
	rm -f $@ && ar rcs $@ $^
