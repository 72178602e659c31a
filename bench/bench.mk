# SPDX-License-Identifier: MIT
#
#   make bench               the measurements of README as one table; installs missing packages first
#   make bench PARTS=pause   some of them: trap, pause, report, ledger, others

BENCH_PROGRAMS := $(addprefix $(BUILD)/bench/,bare_int3 pair ping threads ledger)
PARTS          ?= trap pause report ledger others

bench:
	./setup.sh bench
	$(STEP) all bench-programs
	timeout --kill-after=15 300 bench/run.sh $(BUILD) $(PARTS)

bench-programs: $(BENCH_PROGRAMS)

$(BENCH_PROGRAMS): $(BUILD)/bench/%: $(BUILD)/bench/%.o $(BUILD)/ledger.a $(BUILD)/base.a
	$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ -lm -lpthread

.PHONY: bench bench-programs
.PRECIOUS: $(BUILD)/bench/%.o
