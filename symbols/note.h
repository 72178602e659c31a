/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_NOTE_H
#define MEMATTACH_SYMBOLS_NOTE_H

#include "base/types.h"

/*
 * Copies the descriptor of the first NT_GNU_BUILD_ID in the notes at data to id
 * and returns its length; 0 if there is none, or it is longer than max. align is
 * the section's or segment's: notes are padded to 8 bytes if it is 8, else to 4.
 */
size_t note_build_id(const u8 *data, size_t size, u64 align, u8 *id, size_t max);

#endif
