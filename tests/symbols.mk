# SPDX-License-Identifier: MIT
# What the suites symbols* and maps attach to: one program in every form that a
# linker, a compiler or a distribution gives it.

SYM_DIR    := $(BUILD)/tests/targets
# Targets are never built with sanitizers.
SYM_CFLAGS := -std=gnu17 $(WARN) -D_GNU_SOURCE -Itests/targets -O2 -g

SYM_FLAGS_pie         := -pie -fPIE
SYM_FLAGS_nopie       := -no-pie -fno-pie
SYM_FLAGS_static      := -static -no-pie -fno-pie
SYM_FLAGS_static_pie  := -static-pie -fPIE
SYM_FLAGS_noseparate  := -Wl,-z,noseparate-code
SYM_FLAGS_dwarf4      := -gdwarf-4
SYM_FLAGS_dwarf5      := -gdwarf-5
SYM_FLAGS_compressed  := -gz=zlib
SYM_FLAGS_zdebug      := -gdwarf-4 -gz=zlib-gnu
SYM_FLAGS_split       := -gsplit-dwarf
SYM_FLAGS_clang       := -gdwarf-5
SYM_FLAGS_clang4      := -gdwarf-4
SYM_FLAGS_musl        :=
SYM_FLAGS_musl_static := -static
SYM_FLAGS_exported    := -rdynamic
SYM_FLAGS_noid        := -Wl,--build-id=none
SYM_CC_clang          := clang
SYM_CC_clang4         := clang
SYM_CC_musl           := musl-gcc
SYM_CC_musl_static    := musl-gcc

SYM_FORMS := pie nopie static static_pie noseparate dwarf4 dwarf5 compressed zdebug split clang \
	     clang4 musl musl_static exported noid
SYM_COPIES := stripped minidebug linked linked_id
SYM_TARGETS := $(SYM_FORMS:%=$(SYM_DIR)/symbols_lines_%) $(SYM_COPIES:%=$(SYM_DIR)/symbols_lines_%) \
	       $(SYM_DIR)/symbols_names $(SYM_DIR)/symbols_loader $(SYM_DIR)/symbols_lib.so \
	       $(SYM_DIR)/symbols_alt.so

$(SYM_DIR)/symbols_lines_%: tests/targets/symbols_lines.c tests/targets/talk.c \
		tests/targets/talk.h tests/symbols.mk
	@mkdir -p $(@D)
	$(or $(SYM_CC_$*),gcc) $(SYM_CFLAGS) $(SYM_FLAGS_$*) -o $@ $(filter %.c,$^)

# What only .dynsym names, and what "MiniDebugInfo" does: a .symtab alone, packed.
$(SYM_DIR)/symbols_lines_stripped: $(SYM_DIR)/symbols_lines_exported
	strip -s -o $@ $<
$(SYM_DIR)/symbols_lines_minidebug: $(SYM_DIR)/symbols_lines_pie
	strip -s -o $@.tmp $<
	objcopy --only-keep-debug $< $@.mini
	objcopy --strip-debug $@.mini
	rm -f $@.mini.xz && xz $@.mini
	objcopy --add-section .gnu_debugdata=$@.mini.xz $@.tmp $@
	rm -f $@.tmp $@.mini.xz

# Separate debug files: beside the program, to be proved by its CRC, and in .debug, by build-id.
$(SYM_DIR)/symbols_lines_linked: $(SYM_DIR)/symbols_lines_noid
	objcopy --only-keep-debug $< $@.debug
	strip -s -o $@ $<
	objcopy --add-gnu-debuglink=$@.debug $@
$(SYM_DIR)/symbols_lines_linked_id: $(SYM_DIR)/symbols_lines_pie
	@mkdir -p $(@D)/.debug
	objcopy --only-keep-debug $< $(@D)/.debug/$(@F).debug
	strip -s -o $@ $<
	objcopy --add-gnu-debuglink=$(@D)/.debug/$(@F).debug $@

$(SYM_DIR)/symbols_names: tests/targets/symbols_names.cc tests/targets/talk.c tests/symbols.mk
	@mkdir -p $(@D)
	gcc $(SYM_CFLAGS) -c -o $@.talk.o tests/targets/talk.c
	g++ -O2 -g $(WARN) -Itests/targets -o $@ $< $@.talk.o
	rm -f $@.talk.o

$(SYM_DIR)/symbols_loader: tests/targets/symbols_loader.c tests/targets/talk.c tests/symbols.mk
	@mkdir -p $(@D)
	gcc $(SYM_CFLAGS) -o $@ $(filter %.c,$^) -ldl

$(SYM_DIR)/symbols_lib.so: tests/targets/symbols_lib.c tests/symbols.mk
	@mkdir -p $(@D)
	gcc $(SYM_CFLAGS) -shared -fPIC -o $@ $<

$(SYM_DIR)/symbols_alt.so: tests/targets/symbols_alt.S tests/symbols.mk
	@mkdir -p $(@D)
	gcc -shared -nostdlib -o $@ $<

# Order only: the runners' recipes link all their other prerequisites.
ifneq ($(filter maps modules symbols%,$(SUITE)),)
check-one: | $(SYM_TARGETS)
endif
$(BUILD)/tests/runner-all: | $(SYM_TARGETS)
$(BUILD)/fuzz_symbols: | $(SYM_TARGETS)
