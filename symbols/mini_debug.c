// SPDX-License-Identifier: MIT
#include "symbols/mini_debug.h"

#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/guard.h"

#define UNPACKED_MAX (256U << 20)
/* What xz needs to unpack with the largest preset, -9. */
#define DECODER_MAX (80U << 20)
#define CHUNK       65536

/* Unpacks to fd. 0, -ENOMEM, -EFBIG, -EINVAL or what write fails with. */
static int unpack(lzma_stream *stream, int fd)
{
	_cleanup_free_ u8 *chunk = malloc(CHUNK);
	lzma_ret ret = LZMA_OK;

	if (!chunk || lzma_stream_decoder(stream, DECODER_MAX, 0) != LZMA_OK)
		return -ENOMEM;
	while (ret == LZMA_OK) {
		ssize_t n;

		stream->next_out = chunk;
		stream->avail_out = CHUNK;
		ret = lzma_code(stream, LZMA_FINISH);
		n = CHUNK - (ssize_t)stream->avail_out;
		if (stream->total_out > UNPACKED_MAX)
			return -EFBIG;
		if (n && write(fd, chunk, (size_t)n) != n)
			return -EIO;
	}
	return ret == LZMA_STREAM_END ? 0 : -EINVAL;
}

int mini_debug_open(const struct elf_file *file, struct elf_file *mini)
{
	_cleanup_close_ int fd = -1;
	lzma_stream stream = LZMA_STREAM_INIT;
	const Elf_Data *data;
	GElf_Shdr shdr;
	int rc;

	*mini = (struct elf_file){.fd = -1};
	data = elf_file_data(elf_file_section(file, ".gnu_debugdata", &shdr));
	if (!data)
		return -ENOENT;
	fd = memfd_create("memattach-debugdata", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	stream.next_in = data->d_buf;
	stream.avail_in = data->d_size;
	rc = unpack(&stream, fd);
	lzma_end(&stream);
	return rc ? rc : elf_file_open(mini, fd);
}
