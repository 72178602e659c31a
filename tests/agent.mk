# SPDX-License-Identifier: MIT
# The agent's walker, linked into the tests as it goes into a target; with sanitizers, compiled anew.

AGENT_TESTED := walker rules spans send
AGENT_LINKED := $(AGENT_TESTED:%=$(BUILD)/agent/%$(if $(SANITIZE),,.agent).o)

AGENT_CPP := $(BUILD)/tests/targets/agent_walk_cpp.so
$(AGENT_CPP): tests/targets/agent_walk_cpp.cc tests/agent.mk
	@mkdir -p $(@D)
	g++ -O2 -fPIC -shared $(WARN) -o $@ $<

ifneq ($(filter agent_%,$(SUITE)),)
check-one: $(AGENT_LINKED) $(BUILD)/agent.a | $(AGENT_CPP)
endif
$(BUILD)/tests/runner-all: $(AGENT_LINKED) | $(AGENT_CPP)
