// SPDX-License-Identifier: MIT
#include "proc/exe.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/guard.h"

/* e_ident, e_type and e_machine: at the same place in both classes. */
#define MACHINE_OFFSET 18
#define HEADER_SIZE    20

/*
 *	7f 45 4c 46 02 01 01 00  00 00 00 00 00 00 00 00  03 00 3e 00
 *	magic       |  |                                        machine: x86-64
 *	            |  data: little endian
 *	            class: 64 bit
 */
int exe_kind_parse(const void *header, size_t len, struct exe_kind *kind)
{
	const u8 *h = header;

	if (len < HEADER_SIZE || memcmp(h, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	kind->class = h[EI_CLASS];
	kind->data = h[EI_DATA];
	if (kind->data == ELFDATA2MSB)
		kind->machine = (u16)(h[MACHINE_OFFSET] << 8 | h[MACHINE_OFFSET + 1]);
	else
		kind->machine = (u16)(h[MACHINE_OFFSET + 1] << 8 | h[MACHINE_OFFSET]);
	return 0;
}

int exe_kind_read(const char *path, struct exe_kind *kind)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	u8 header[HEADER_SIZE];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pread(fd, header, sizeof(header), 0);
	if (n < 0)
		return -errno;
	return exe_kind_parse(header, (size_t)n, kind);
}

bool exe_kind_equal(const struct exe_kind *a, const struct exe_kind *b)
{
	return a->class == b->class && a->data == b->data && a->machine == b->machine;
}

static const char *machine_name(u16 machine)
{
	switch (machine) {
	case EM_386:
	case EM_X86_64:
		return "x86";
	case EM_ARM:
	case EM_AARCH64:
		return "ARM";
	case EM_RISCV:
		return "RISC-V";
	case EM_PPC:
	case EM_PPC64:
		return "PowerPC";
	case EM_MIPS:
		return "MIPS";
	case EM_S390:
		return "S/390";
	default:
		return NULL;
	}
}

void exe_kind_text(const struct exe_kind *kind, char *text, size_t size)
{
	const char *name = machine_name(kind->machine);
	const char *bits = kind->class == ELFCLASS64 ? "64-bit" : "32-bit";

	/* x32: the machine of the one, the class of the other. */
	if (kind->machine == EM_X86_64 && kind->class == ELFCLASS32)
		snprintf(text, size, "32-bit x32");
	else if (name)
		snprintf(text, size, "%s %s", bits, name);
	else
		snprintf(text, size, "%s ELF machine %u", bits, kind->machine);
}
