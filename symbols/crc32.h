/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_CRC32_H
#define MEMATTACH_SYMBOLS_CRC32_H

#include "base/types.h"

/* The CRC-32 of a whole file, as .gnu_debuglink has it: polynomial 0xedb88320, reflected. 0, -errno. */
int crc32_of_file(int fd, u32 *crc);

#endif
