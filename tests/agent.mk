# SPDX-License-Identifier: MIT
# The agent's walker, linked into the tests as it goes into a target; with sanitizers, compiled anew.

AGENT_TESTED := walker powers memo rules spans send
AGENT_LINKED := $(AGENT_TESTED:%=$(BUILD)/agent/%$(if $(SANITIZE),,.agent).o) \
	$(BUILD)/probe/tables.o $(BUILD)/probe/agent_rows.o

AGENT_CPP := $(BUILD)/tests/targets/agent_walk_cpp.so
$(AGENT_CPP): tests/targets/agent_walk_cpp.cc tests/agent.mk
	@mkdir -p $(@D)
	g++ -O2 -fPIC -shared $(WARN) -o $@ $<

# The deepest path through the agent, in bytes of the thread's stack.
AGENT_STACK_MAX := 1024
AGENT_STACK     := $(BUILD)/agent/stack.checked
$(AGENT_STACK): $(BUILD)/agent/agent.elf tests/agent_stack.py
	tests/agent_stack.py $(BUILD) $(AGENT_STACK_MAX)
	touch $@

ifneq ($(filter agent_%,$(SUITE)),)
check-one: $(AGENT_LINKED) $(BUILD)/agent.a | $(AGENT_CPP) $(AGENT_STACK)
# These come behind the folders in the recipe, and need them.
check-one: LDLIBS := $(BUILD)/unwind.a $(BUILD)/base.a $(LDLIBS)
endif
# Its folders have the other two.
$(BUILD)/tests/runner-all: $(filter $(BUILD)/agent/%,$(AGENT_LINKED)) | $(AGENT_CPP)

# make agent-bench: what a walk costs
$(BUILD)/bench/agent_walk: $(BUILD)/bench/agent_walk.o $(BUILD)/tests/agent_probe.o \
		$(BUILD)/tests/agent_stand_in.o $(AGENT_LINKED) \
		$(foreach f,symbols unwind proc base,$(BUILD)/$(f).a) $(BUILD)/agent.a
	$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ -lcheck -lsubunit -lrt $(LDLIBS)

agent-bench: $(BUILD)/bench/agent_walk
	$<

.PHONY: agent-bench
