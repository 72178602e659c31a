# SPDX-License-Identifier: MIT
#
#   make bench                        the measurements of README as one table; installs missing packages first
#   make bench PARTS="speed memory"   some of them: speed, pause, memory, trap, report, ledger
#   make bench PARTS=speed WORKLOADS="A C" COLUMNS="full heaptrack" ROUNDS=1 SCALE=10
#                                     some cells of the speed table, once, a tenth of the work; by default 15 times a third
#
# Workloads: A A0 A4 B C D E, see bench/workloads.sh. Columns: native full sample trap heaptrack massif.

BENCH_PROGRAMS := $(addprefix $(BUILD)/bench/,bare_int3 busy hold ledger pair pairs pairs_lean ping threads)
PARTS          ?= speed pause memory trap report ledger

# As the variables of a distribution's package build have it.
BENCH_AS_PACKAGED := -O2 -g -fno-omit-frame-pointer -fstack-protector-strong

bench:
	./setup.sh bench
	$(STEP) all bench-programs
	WORKLOADS="$(WORKLOADS)" COLUMNS="$(COLUMNS)" ROUNDS="$(ROUNDS)" SCALE="$(SCALE)" \
		timeout --kill-after=15 2400 bench/run.sh $(BUILD) $(PARTS)

bench-programs: $(BENCH_PROGRAMS) $(BUILD)/bench/maps $(BUILD)/bench/records

$(BENCH_PROGRAMS): $(BUILD)/bench/%: $(BUILD)/bench/%.o $(BUILD)/ledger.a $(BUILD)/base.a
	$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ -lm -lpthread

$(BUILD)/bench/records: $(BUILD)/bench/records.o $(BUILD)/session.a $(LIBS)
	$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/bench/pairs.o: CFLAGS := $(BENCH_AS_PACKAGED)
$(BUILD)/bench/pairs_lean.o: bench/pairs.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -DWRITES=0 $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/bench/maps: bench/maps.cc
	@mkdir -p $(@D)
	$(CXX) -Wall -Wextra -Werror $(BENCH_AS_PACKAGED) $(LDFLAGS) -o $@ $<

.PHONY: bench bench-programs
.PRECIOUS: $(BUILD)/bench/%.o
