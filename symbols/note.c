// SPDX-License-Identifier: MIT
/*
 * An ELF note:
 *
 *	namesz (4)  descsz (4)  type (4)  name, padded  descriptor, padded
 *	4           20          3         "GNU\0"       the build-id
 */
#include "symbols/note.h"

#include <elf.h>
#include <string.h>

size_t note_build_id(const u8 *data, size_t size, u64 align, u8 *id, size_t max)
{
	size_t pad = align == 8 ? 7 : 3;
	size_t pos = 0;

	while (size - pos >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		size_t name = pos + sizeof(note);
		size_t desc, next;

		memcpy(&note, data + pos, sizeof(note));
		desc = (name + note.n_namesz + pad) & ~pad;
		next = (desc + note.n_descsz + pad) & ~pad;
		if (desc > size || note.n_descsz > size - desc)
			return 0;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    !memcmp(data + name, "GNU", 4) && note.n_descsz && note.n_descsz <= max) {
			memcpy(id, data + desc, note.n_descsz);
			return note.n_descsz;
		}
		/* The padding of the last one may be missing. */
		if (next > size)
			return 0;
		pos = next;
	}
	return 0;
}
