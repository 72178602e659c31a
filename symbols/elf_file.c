// SPDX-License-Identifier: MIT
#include "symbols/elf_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbols/elf_headers.h"
#include "symbols/note.h"

#define SECTION_MAX  (1ULL << 30)
#define SECTIONS_MAX 65536
#define NAMES_MAX    (1ULL << 24)

/*
 * How many sections libelf would make room for, whatever the file's size:
 * e_shnum, or, if that is 0, the sh_size of section 0.
 */
static u64 claimed_sections(int fd, const Elf64_Ehdr *ehdr)
{
	Elf64_Shdr first;

	if (ehdr->e_shnum || !ehdr->e_shoff)
		return ehdr->e_shnum;
	if (pread(fd, &first, sizeof(first), (off_t)ehdr->e_shoff) != (ssize_t)sizeof(first))
		return 0;
	return first.sh_size;
}

static bool is_acceptable(int fd)
{
	Elf64_Ehdr ehdr;

	return pread(fd, &ehdr, sizeof(ehdr), 0) == (ssize_t)sizeof(ehdr) &&
	       !memcmp(ehdr.e_ident, ELFMAG, SELFMAG) && ehdr.e_ident[EI_CLASS] == ELFCLASS64 &&
	       ehdr.e_ident[EI_DATA] == ELFDATA2LSB && ehdr.e_machine == elf_machine &&
	       claimed_sections(fd, &ehdr) <= SECTIONS_MAX;
}

/* libelf reads the table of section names whole, and would decompress it. */
static bool names_are_sane(Elf *elf)
{
	GElf_Shdr shdr;
	Elf_Scn *scn;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return false;
	scn = names ? elf_getscn(elf, names) : NULL;
	return !names || (scn && gelf_getshdr(scn, &shdr) && shdr.sh_size <= NAMES_MAX &&
			  !(shdr.sh_flags & SHF_COMPRESSED));
}

int elf_file_open(struct elf_file *file, int fd)
{
	struct stat st;

	*file = (struct elf_file){.fd = -1};
	if (fd < 0)
		return -ENOEXEC;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!is_acceptable(fd))
		return -ENOEXEC;
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOEXEC;
	file->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (file->fd < 0)
		return -errno;
	file->size = (u64)st.st_size;
	file->elf = elf_begin(file->fd, ELF_C_READ, NULL);
	if (!file->elf || elf_kind(file->elf) != ELF_K_ELF || !names_are_sane(file->elf)) {
		elf_file_close(file);
		return -ENOEXEC;
	}
	return 0;
}

void elf_file_close(struct elf_file *file)
{
	if (file->elf)
		elf_end(file->elf);
	/* 0 is one that was never opened: the dup is 3 or more. */
	if (file->fd > 0)
		close(file->fd);
	*file = (struct elf_file){.fd = -1};
}

void elf_file_release(struct elf_file *file)
{
	if (file->elf)
		elf_cntl(file->elf, ELF_C_FDDONE);
	if (file->fd > 0)
		close(file->fd);
	file->fd = -1;
}

Elf_Scn *elf_file_section(const struct elf_file *file, const char *name, GElf_Shdr *shdr)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (!file->elf || elf_getshdrstrndx(file->elf, &names))
		return NULL;
	while ((scn = elf_nextscn(file->elf, scn))) {
		const char *s;

		if (!gelf_getshdr(scn, shdr))
			continue;
		s = elf_strptr(file->elf, names, shdr->sh_name);
		if (s && !strcmp(s, name))
			return scn;
	}
	return NULL;
}

Elf_Scn *elf_file_section_of_type(const struct elf_file *file, u32 type, GElf_Shdr *shdr)
{
	Elf_Scn *scn = NULL;

	while (file->elf && (scn = elf_nextscn(file->elf, scn)))
		if (gelf_getshdr(scn, shdr) && shdr->sh_type == type)
			return scn;
	return NULL;
}

const Elf_Data *elf_file_data(Elf_Scn *section)
{
	const Elf_Data *data;
	GElf_Shdr shdr;

	if (!section || !gelf_getshdr(section, &shdr) || shdr.sh_type == SHT_NOBITS ||
	    shdr.sh_size > SECTION_MAX)
		return NULL;
	data = elf_rawdata(section, NULL);
	return data && data->d_buf && data->d_size ? data : NULL;
}

size_t elf_file_build_id(const struct elf_file *file, u8 *id, size_t max)
{
	Elf_Scn *scn = NULL;

	while (file->elf && (scn = elf_nextscn(file->elf, scn))) {
		const Elf_Data *data;
		GElf_Shdr shdr;
		size_t len;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_NOTE ||
		    shdr.sh_size > SECTION_MAX)
			continue;
		data = elf_file_data(scn);
		len = data ? note_build_id(data->d_buf, data->d_size, shdr.sh_addralign, id, max)
			   : 0;
		if (len)
			return len;
	}
	return 0;
}

/* What a section is once decompressed: SHF_COMPRESSED, or a .zdebug section of old. */
static u64 real_size(const struct elf_file *file, Elf_Scn *scn, const GElf_Shdr *shdr, bool z)
{
	GElf_Chdr chdr;
	u8 head[12];
	u64 size;

	if (shdr->sh_flags & SHF_COMPRESSED)
		return gelf_getchdr(scn, &chdr) ? chdr.ch_size : UINT64_MAX;
	if (!z)
		return shdr->sh_size;
	/* "ZLIB" and the size, most significant byte first. */
	if (pread(file->fd, head, sizeof(head), (off_t)shdr->sh_offset) != (ssize_t)sizeof(head))
		return UINT64_MAX;
	if (memcmp(head, "ZLIB", 4))
		return shdr->sh_size;
	memcpy(&size, head + 4, sizeof(size));
	return be64toh(size);
}

u64 elf_file_dwarf_size(const struct elf_file *file)
{
	Elf_Scn *scn = NULL;
	size_t names;
	u64 sum = 0;

	if (!file->elf || elf_getshdrstrndx(file->elf, &names))
		return 0;
	while ((scn = elf_nextscn(file->elf, scn))) {
		GElf_Shdr shdr;
		const char *s;
		bool z;

		if (!gelf_getshdr(scn, &shdr))
			return UINT64_MAX;
		s = elf_strptr(file->elf, names, shdr.sh_name);
		if (!s || shdr.sh_type == SHT_NOBITS)
			continue;
		z = !strncmp(s, ".zdebug", 7);
		if (!z && strncmp(s, ".debug", 6))
			continue;
		if (__builtin_add_overflow(sum, real_size(file, scn, &shdr, z), &sum))
			return UINT64_MAX;
	}
	return sum;
}
