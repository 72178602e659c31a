# SPDX-License-Identifier: MIT
# The programs that the integration tests attach to, from tests/targets. They are
# never built with a sanitizer, whatever memattach is built with, and some of
# them in as many ways as there are kinds of programs. For each: NAME.sources,
# and where needed NAME.flags (given last), NAME.cc, NAME.needs (files first).

T  := tests/targets
TB := $(BUILD)/tests/targets

talk   := talk.c
engine := engine.c truth.c talk.c

# Allocate through every function, and keep the truth.
exact.sources             := exact.c $(engine)
exact_lazy.sources        := exact.c $(engine)
exact_lazy.flags          := -no-pie -fno-pie -Wl,-z,lazy
exact_static.sources      := exact.c $(engine)
exact_static.flags        := -static
exact_static_pie.sources  := exact.c $(engine)
exact_static_pie.flags    := -static-pie
exact_musl_static.sources := exact.c $(engine)
exact_musl_static.flags   := -static
exact_musl_static.cc      := musl-gcc
exact_musl.sources        := exact.c $(engine)
exact_musl.cc             := musl-gcc
exact_cpp.sources         := exact_cpp.cc $(engine)
exact_cpp.flags           := -lstdc++
exact_cpp_jemalloc.sources := exact_cpp.cc $(engine)
exact_cpp_jemalloc.flags  := -l:libjemalloc.a -lstdc++ -lm
TARGETS += exact exact_lazy exact_static exact_static_pie exact_musl_static exact_musl exact_cpp \
	exact_cpp_jemalloc

# Stacks of every shape, from code of every kind.
shapes.sources             := shapes.c $(talk)
shapes.flags               := -fomit-frame-pointer
shapes_fp.sources          := shapes.c $(talk)
shapes_fp.flags            := -fno-omit-frame-pointer -O1
shapes_clang.sources       := shapes.c $(talk)
shapes_clang.cc            := clang
shapes_lazy.sources        := shapes.c $(talk)
shapes_lazy.flags          := -no-pie -fno-pie -Wl,-z,lazy -fcf-protection=none
shapes_static.sources      := shapes.c $(talk)
shapes_static.flags        := -static
shapes_static_pie.sources  := shapes.c $(talk)
shapes_static_pie.flags    := -static-pie
shapes_musl_static.sources := shapes.c $(talk)
shapes_musl_static.flags   := -static
shapes_musl_static.cc      := musl-gcc
shapes_musl.sources        := shapes.c $(talk)
shapes_musl.cc             := musl-gcc
shapes_cpp.sources         := shapes_cpp.cc $(talk)
shapes_cpp.flags           := -lstdc++
TARGETS += shapes shapes_fp shapes_clang shapes_lazy shapes_static shapes_static_pie \
	shapes_musl_static shapes_musl shapes_cpp

# Loads and unloads libraries.
loader.sources := loader.c $(engine)
loader.flags   := -ldl
loader.needs   := libloaded_one.so libloaded_two.so
libloaded_one.so.sources := loaded.c
libloaded_one.so.flags   := -shared -fPIC -DLIBRARY_SITE=site_library_one
libloaded_two.so.sources := loaded.c
libloaded_two.so.flags   := -shared -fPIC -DLIBRARY_SITE=site_library_two
TARGETS += loader libloaded_one.so libloaded_two.so

# Must not notice: threads in blocking calls, signals of their own.
blocked.sources := blocked.c $(talk)
signals.sources := signals.c $(talk)
stuck.sources   := stuck.c $(talk)
TARGETS += blocked signals stuck

# Makes processes in every way.
forker.sources := forker.c $(engine)
TARGETS += forker

# Forks in the middle of allocator calls.
fork_within.sources := fork_within.c $(talk)
TARGETS += fork_within

# An allocator that only its program knows.
pool.sources := pool.c $(engine)
TARGETS += pool

# Is in its allocator, which has no unwind information; has frame pointers itself, or is musl's.
libbare.so.sources := bare.c
libbare.so.flags   := -shared -fPIC -g0 -fno-asynchronous-unwind-tables -fno-builtin \
	-fomit-frame-pointer -fcf-protection=none
hot_bare.sources := hot.c $(talk)
hot_bare.flags   := -O1 -fno-omit-frame-pointer -L$(TB) -l:libbare.so -Wl,-rpath,'$$$$ORIGIN'
hot_bare.needs   := libbare.so
hot_musl.sources := hot.c $(talk)
hot_musl.cc      := musl-gcc
TARGETS += libbare.so hot_bare hot_musl

# Is hard to leave.
stays.sources := stays.c $(talk)
stays.flags   := -fno-builtin
TARGETS += stays

# Counts its calls.
staller.sources := staller.c $(talk)
staller.flags   := -fno-builtin
TARGETS += staller

# Its allocator switches to another stack.
fibers.sources := fibers.c $(talk)
TARGETS += fibers

# Its allocator's calls are left by longjmp.
leaper.sources := leaper.c truth.c $(talk)
leaper.flags   := -fno-builtin
TARGETS += leaper

# Has no allocator at all.
noalloc.sources := noalloc.c
noalloc.flags   := -nostdlib -static -fno-stack-protector
hoard.sources   := hoard.c $(talk)
TARGETS += hoard

# An address that is used again while the realloc that has freed it is under way.
recycler.sources := recycler.c $(talk)
TARGETS += recycler
# Leaks on purpose.
leak_cpp.sources := leak_cpp.cc $(talk)
leak_cpp.flags   := -lstdc++
TARGETS += noalloc leak_cpp

define target_rule
$(TB)/$(1): $(addprefix $(T)/,$($(1).sources)) $(wildcard $(T)/*.h) tests/targets.mk \
		$(addprefix $(TB)/,$($(1).needs))
	@mkdir -p $$(@D)
	$(or $($(1).cc),gcc) -O2 -g -Wall -Wextra -D_GNU_SOURCE -pthread -o $$@ \
		$(addprefix $(T)/,$($(1).sources)) $($(1).flags)
endef
$(foreach t,$(TARGETS),$(eval $(call target_rule,$(t))))

targets: $(TARGETS:%=$(TB)/%)

.PHONY: targets

# The suites that run memattach need it, and the targets, but are not linked with them.
INTEGRATION := exact busy detach threads stack_shapes harmless programs cli outputs exec_fork allocators orphan kill9 fork_within leaps
ifneq ($(filter $(INTEGRATION),$(SUITE)),)
check-one: | targets $(BUILD)/memattach
endif
$(BUILD)/tests/runner-all: | targets $(BUILD)/memattach
