# SPDX-License-Identifier: MIT
# The test runner and the targets that it attaches to.

TEST_SUITES := $(patsubst tests/test_%.c,%,$(wildcard tests/test_*.c))
# Files tests/*.c that are no suite and no main: shared helpers, linked into every runner.
TEST_HELPERS := $(filter-out tests/runner.c $(wildcard tests/test_*.c),$(wildcard tests/*.c))

$(BUILD)/tests/runner-all: $(BUILD)/tests/runner.o $(TEST_SUITES:%=$(BUILD)/tests/test_%.o) \
		$(TEST_HELPERS:%.c=$(BUILD)/%.o) $(BUILD)/session.a $(LIBS)
	$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ -lcheck -lsubunit -lrt $(LDLIBS)

# Only the suites of one part, with only the folders that it needs:
#   make check-one SUITE=ledger NEEDS="ledger base"
NEEDS ?= $(FOLDERS)
check-one: $(BUILD)/tests/runner.o $(SUITE:%=$(BUILD)/tests/test_%.o) \
		$(TEST_HELPERS:%.c=$(BUILD)/%.o) $(foreach f,$(NEEDS),$(if $(wildcard $(f)/*.c),$(BUILD)/$(f).a))
	$(CC) $(SANITIZE) $(LDFLAGS) -o $(BUILD)/tests/runner-$(firstword $(SUITE)) $^ -lcheck -lsubunit -lrt $(LDLIBS)
	$(BUILD)/tests/runner-$(firstword $(SUITE))

-include tests/symbols.mk
-include tests/targets.mk
-include tests/unwind.mk

.PHONY: check-one
