# SPDX-License-Identifier: MIT
#
#   make demo        a leaking service, found while it runs; installs missing packages first

demo:
	./setup.sh demo
	+$(STEP) all $(BUILD)/demo/leaky_service
	demo/run.sh $(BUILD)/memattach $(BUILD)/demo/leaky_service

# As a user would have built it: optimised, with debug information, with nothing of ours in it.
$(BUILD)/demo/leaky_service: demo/leaky_service.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -std=gnu17 -O2 -g $(WARN) -o $@ $<

.PHONY: demo
