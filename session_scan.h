/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SESSION_SCAN_H
#define MEMATTACH_SESSION_SCAN_H

#include "session_image.h"

/* Finds the allocator functions of a module and adds them to image->candidates. 0 or -errno. */
int scan_module(struct image *image, const struct module *module, struct err *err);

/* Whether scan_module will find nothing there. */
bool scan_is_barren(const struct image *image, const struct module *module);

/* Forgets the candidates of a module. */
void scan_forget(struct image *image, u32 module);

/* Makes ready a probe of every candidate that has none. 0 or -errno. */
int scan_add(struct image *image, struct err *err);

#endif
