// SPDX-License-Identifier: MIT
/*
 * The instructions of this process's libc: the first of every function, where
 * breakpoints are put, and every one of a stretch of code, where they return to.
 * What is made of them is decoded again, and followed: the same instruction on
 * the same operand, and at its end the same address.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <link.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/types.h"
#include "probe/relocate_x86_64.h"
#include "tests/decoded.h"
#include "tests/suites.h"

#define STRETCH 20000

struct libc {
	u64 bias, text, text_end;
	char path[512];
};

static int find_libc(struct dl_phdr_info *info, size_t size, void *data)
{
	struct libc *libc = data;

	(void)size;
	if (!strstr(info->dlpi_name, "/libc.so"))
		return 0;
	libc->bias = info->dlpi_addr;
	snprintf(libc->path, sizeof(libc->path), "%s", info->dlpi_name);
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
			libc->text = info->dlpi_addr + p->p_vaddr;
			libc->text_end = libc->text + p->p_memsz;
		}
	}
	return 1;
}

/* The absolute address of the first operand that is relative to the pc; 0: none is. */
static u64 relative_operand(const struct insn *insn, u64 address)
{
	for (int i = 0; i < insn->z.operand_count_visible; i++) {
		const ZydisDecodedOperand *op = &insn->operands[i];
		u64 target;

		if ((op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.base == ZYDIS_REGISTER_RIP) ||
		    (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op->imm.is_relative)) {
			ck_assert(ZYAN_SUCCESS(
				ZydisCalcAbsoluteAddress(&insn->z, op, address, &target)));
			return target;
		}
	}
	return 0;
}

/* A jmp *0(%rip) at p, with its target behind it. */
static bool is_jump(const u8 *p, u64 target)
{
	u64 to;

	memcpy(&to, p + 6, sizeof(to));
	return memcmp(p, "\xff\x25\0\0\0\0", 6) == 0 && to == target;
}

/* push imm32 and the upper half: the return address. */
static bool is_push(const u8 *p, u64 value)
{
	u32 low, high;

	memcpy(&low, p + 1, sizeof(low));
	memcpy(&high, p + 9, sizeof(high));
	return p[0] == 0x68 && memcmp(p + 5, "\xc7\x44\x24\x04", 4) == 0 && low == (u32)value &&
	       high == (u32)(value >> 32);
}

/* The same instruction with the same operand, and then the jump behind the original one. */
static bool is_copy(const struct slot_code *code, u64 slot, const struct insn *old, u64 address)
{
	struct insn new;

	return decode(code->bytes, code->length, &new) &&
	       new.z.mnemonic == old->z.mnemonic &&new.z.length ==
		       old->z.length &&new.z.raw.imm[0].value.u ==
		       old->z.raw.imm[0].value.u &&relative_operand(&new, slot) ==
		       relative_operand(old, address) &&
	       is_jump(code->bytes + new.z.length, address + old->z.length) &&
	       code->length == new.z.length + 14U && code->after == new.z.length;
}

static bool is_conditional(const struct slot_code *code, u64 slot, const struct insn *old,
			   u64 address)
{
	struct insn new;
	u64 taken;

	if (!decode(code->bytes, code->length, &new) || new.z.mnemonic != old->z.mnemonic)
		return false;
	taken = relative_operand(&new, slot) - slot;
	return new.z.length == code->after &&taken + 14 <=
				       code->length &&is_jump(code->bytes + new.z.length,
							      address + old->z.length) &&
	       is_jump(code->bytes + taken, relative_operand(old, address));
}

static bool is_call(const struct slot_code *code, u64 slot, const struct insn *old, u64 address)
{
	struct insn new;

	if (!is_push(code->bytes, address + old->z.length) || code->after)
		return false;
	if (old->z.opcode == 0xe8)
		return is_jump(code->bytes + 13, relative_operand(old, address));
	return decode(code->bytes + 13, code->length - 13, &new) &&
	       new.z.mnemonic == ZYDIS_MNEMONIC_JMP &&new.z.length ==
		       old->z.length &&relative_operand(&new, slot + 13) ==
		       relative_operand(old, address) &&
	       new.operands[0].type == old->operands[0].type &&new.operands[0].reg.value ==
		       old->operands[0].reg.value &&new.operands[0].mem.base ==
		       old->operands[0].mem.base &&new.operands[0].mem.index ==
		       old->operands[0].mem.index;
}

static bool is_right(const struct slot_code *code, u64 slot, const struct insn *old, u64 address)
{
	bool relative = old->z.raw.imm[0].is_relative;

	switch (old->z.meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
		return is_conditional(code, slot, old, address);
	case ZYDIS_CATEGORY_UNCOND_BR:
		return relative ? is_jump(code->bytes, relative_operand(old, address))
				: is_copy(code, slot, old, address);
	case ZYDIS_CATEGORY_CALL:
		return is_call(code, slot, old, address);
	default:
		return is_copy(code, slot, old, address);
	}
}

/* False: refused. */
static bool check_one(u64 address, const struct insn *old)
{
	static const s64 distances[] = {0x100000, -0x6ff00000, 0x6ff00000};
	struct slot_code code;

	for (size_t i = 0; i < ARRAY_SIZE(distances); i++) {
		u64 slot = (address + (u64)distances[i]) & ~63ULL;
		int ret = relocate_instruction((const u8 *)(uintptr_t)address, INSTRUCTION_MAX,
					       address, slot, &code);

		if (ret == -EOPNOTSUPP)
			return false;
		ck_assert_msg(ret == 0, "%#lx: %d", (unsigned long)address, ret);
		ck_assert_uint_eq(code.instruction_length, old->z.length);
		ck_assert_uint_le(code.length, SLOT_SIZE);
		ck_assert_msg(is_right(&code, slot, old, address),
			      "what is made of %s at %#lx, category %d, is not the same",
			      ZydisMnemonicGetString(old->z.mnemonic), (unsigned long)address,
			      old->z.meta.category);
	}
	return true;
}

static struct libc the_libc(void)
{
	struct libc libc = {0};

	dl_iterate_phdr(find_libc, &libc);
	ck_assert_msg(libc.text != 0, "this process has no libc.so");
	return libc;
}

/* Calls check_one for each function of .dynsym; counts. */
static void check_symbols(Elf *elf, Elf_Scn *section, const GElf_Shdr *header,
			  const struct libc *libc, int *checked, int *refused)
{
	Elf_Data *data = elf_getdata(section, NULL);
	struct insn insn;
	GElf_Sym symbol;

	for (int i = 0; gelf_getsym(data, i, &symbol); i++) {
		u64 address = libc->bias + symbol.st_value;

		if ((GELF_ST_TYPE(symbol.st_info) != STT_FUNC &&
		     GELF_ST_TYPE(symbol.st_info) != STT_GNU_IFUNC) ||
		    !symbol.st_value || address + INSTRUCTION_MAX > libc->text_end)
			continue;
		ck_assert_msg(decode((const u8 *)(uintptr_t)address, INSTRUCTION_MAX, &insn), "%s",
			      elf_strptr(elf, header->sh_link, symbol.st_name));
		(*checked)++;
		if (check_one(address, &insn))
			continue;
		(*refused)++;
		printf("slots: %s of libc cannot be displaced: it begins with %s\n",
		       elf_strptr(elf, header->sh_link, symbol.st_name),
		       ZydisMnemonicGetString(insn.z.mnemonic));
	}
}

START_TEST(first_instructions_of_functions)
{
	struct libc libc = the_libc();
	int checked = 0, refused = 0;
	Elf_Scn *section = NULL;
	int fd = open(libc.path, O_RDONLY | O_CLOEXEC);
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	ck_assert_ptr_nonnull(elf);
	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;

		if (gelf_getshdr(section, &header) && header.sh_type == SHT_DYNSYM)
			check_symbols(elf, section, &header, &libc, &checked, &refused);
	}
	elf_end(elf);
	close(fd);
	printf("slots: %d functions of libc, %d begin with an instruction that is refused\n",
	       checked, refused);
	ck_assert_int_gt(checked, 1000);
	ck_assert_int_lt(refused * 100, checked);
}
END_TEST

START_TEST(a_stretch_of_code)
{
	struct libc libc = the_libc();
	/* Not RTLD_DEFAULT, which may be a sanitizer's. */
	void *handle = dlopen(libc.path, RTLD_NOW | RTLD_NOLOAD);
	u64 address = (u64)(uintptr_t)dlsym(handle, "qsort");
	int checked = 0, refused = 0;
	struct insn insn;

	ck_assert(address > libc.text && address < libc.text_end);
	while (checked < STRETCH && address + INSTRUCTION_MAX < libc.text_end) {
		if (!decode((const u8 *)(uintptr_t)address, INSTRUCTION_MAX, &insn)) {
			address++;
			continue;
		}
		checked++;
		if (!check_one(address, &insn))
			refused++;
		address += insn.z.length;
	}
	printf("slots: %d instructions of libc in a row, %d refused (%.2f %%)\n", checked, refused,
	       100.0 * refused / checked);
	ck_assert_int_eq(checked, STRETCH);
	ck_assert_int_lt(refused * 100, checked);
}
END_TEST

/* The allocators themselves must all have a slot, or each call costs two stops more. */
START_TEST(allocators_of_libc)
{
	static const char *const names[] = {"malloc",         "free",         "calloc", "realloc",
					    "reallocarray",   "memalign",     "valloc", "pvalloc",
					    "posix_memalign", "aligned_alloc"};
	struct libc libc = the_libc();
	void *handle = dlopen(libc.path, RTLD_NOW | RTLD_NOLOAD);
	struct insn insn;

	ck_assert_ptr_nonnull(handle);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const u8 *function = dlsym(handle, names[i]);

		ck_assert_msg(function && decode(function, INSTRUCTION_MAX, &insn), "%s", names[i]);
		ck_assert_msg(check_one((u64)(uintptr_t)function, &insn), "%s", names[i]);
	}
	dlclose(handle);
}
END_TEST

Suite *slots_libc_suite(void)
{
	Suite *suite = suite_create("slots_libc");
	TCase *tcase = tcase_create("slots_libc");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, first_instructions_of_functions);
	tcase_add_test(tcase, a_stretch_of_code);
	tcase_add_test(tcase, allocators_of_libc);
	suite_add_tcase(suite, tcase);
	return suite;
}
