# SPDX-License-Identifier: MIT
#
#   make check       everything below; installs missing packages first
#   make lint        layout, sizes, layers, the man page
#   make check-asan  the tests, with all of memattach and the tests under ASan and UBSan
#   make fuzz        each tests/fuzz/fuzz_*.c for a while: FUZZ=proc, FUZZ_SECONDS=30

# Every step is a make of its own: only after setup.sh can it see what is installed.
JOBS ?= $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
# In a recipe as +$(STEP): the plus passes make's job server on.
STEP  = $(MAKE) --no-print-directory $(JOBS)

# Tests take longer under a sanitizer: libcheck's time limits are multiplied.
ASAN_ENV := ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 \
	    CK_TIMEOUT_MULTIPLIER=4

# At the same time, since they wait more than they work; one's output comes behind the other's.
define RUN_BOTH
	$(ASAN_ENV) $(BUILD)/asan/tests/runner-all >$(BUILD)/asan/tests.log 2>&1 & asan=$$!; \
	plain=0; $(BUILD)/tests/runner-all || plain=$$?; \
	status=0; wait $$asan || status=$$?; \
	echo "The same tests under ASan and UBSan:"; cat $(BUILD)/asan/tests.log; \
	[ $$plain -eq 0 ] && [ $$status -eq 0 ]
endef

check:
	./setup.sh check
	+$(STEP) CC=gcc all $(BUILD)/tests/runner-all
	+$(STEP) lint
	+$(STEP) CC=clang BUILD=$(BUILD)/clang all objects
	+$(STEP) fuzz FUZZ_SECONDS=5
	+$(STEP) BUILD=$(BUILD)/asan SAN=1 CC=gcc all $(BUILD)/asan/tests/runner-all
	$(RUN_BOTH)

check-asan:
	./setup.sh check
	+$(STEP) BUILD=$(BUILD)/asan SAN=1 CC=gcc all $(BUILD)/asan/tests/runner-all
	$(ASAN_ENV) $(BUILD)/asan/tests/runner-all

# All of ours compiled, tests too, and nothing linked: a second compiler's warnings.
objects: $(LIBS) $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/*.c))

lint:
	find . -path ./build -prune -o -name '*.[ch]' -print | xargs clang-format --dry-run -Werror
	tests/style.sh
	tests/layers.sh
	$(if $(wildcard man/*.1),mandoc -Tlint -W warning man/*.1)

# Each harness is linked with every folder, instrumented: it takes what it needs.
FUZZ         ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 30
FUZZ_FLAGS   := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
fuzz:
	+$(STEP) BUILD=$(BUILD)/fuzz CC=clang CFLAGS="-O1 -g" SANITIZE="$(FUZZ_FLAGS)" \
		$(FUZZ:%=$(BUILD)/fuzz/fuzz_%)
	@for name in $(FUZZ); do \
		mkdir -p $(BUILD)/fuzz/corpus/$$name && \
		echo "fuzz_$$name: $(FUZZ_SECONDS) s" && \
		$(BUILD)/fuzz/fuzz_$$name -seed=1 -max_total_time=$(FUZZ_SECONDS) -verbosity=0 \
			-artifact_prefix=$(BUILD)/fuzz/$$name- $(BUILD)/fuzz/corpus/$$name || exit 1; \
	done

$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(LIBS)
	$(CC) $(SANITIZE) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(LDLIBS)
.PRECIOUS: $(BUILD)/tests/fuzz/fuzz_%.o

.PHONY: check check-asan objects lint fuzz
