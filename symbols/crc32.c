// SPDX-License-Identifier: MIT
#include "symbols/crc32.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/guard.h"

#define CHUNK 65536

static void make_table(u32 table[256])
{
	for (u32 i = 0; i < 256; i++) {
		u32 c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ 0xedb88320U : c >> 1;
		table[i] = c;
	}
}

int crc32_of_file(int fd, u32 *crc)
{
	_cleanup_free_ u8 *chunk = malloc(CHUNK);
	u32 table[256];
	off_t offset = 0;
	u32 c = ~0U;

	if (!chunk)
		return -ENOMEM;
	make_table(table);
	for (;;) {
		ssize_t n = pread(fd, chunk, CHUNK, offset);

		if (n < 0)
			return -errno;
		if (!n)
			break;
		for (ssize_t i = 0; i < n; i++)
			c = c >> 8 ^ table[(c ^ chunk[i]) & 0xff];
		offset += n;
	}
	*crc = ~c;
	return 0;
}
