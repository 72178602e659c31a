# SPDX-License-Identifier: MIT
#
#   make install     PREFIX=/usr/local, DESTDIR= (where a package is put together)
#   make uninstall   with the same PREFIX and DESTDIR

BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man

install: $(BUILD)/memattach
	install -D -m 755 $(BUILD)/memattach $(DESTDIR)$(BINDIR)/memattach
	install -D -m 644 man/memattach.1 $(DESTDIR)$(MANDIR)/man1/memattach.1

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/memattach $(DESTDIR)$(MANDIR)/man1/memattach.1

.PHONY: install uninstall
