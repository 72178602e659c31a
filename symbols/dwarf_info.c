// SPDX-License-Identifier: MIT
/*
 * libdw reads the DWARF; what it is asked for is chosen with care:
 *
 * - The units are found by an index of their address ranges, made here from
 *   DW_AT_ranges, since .debug_aranges is missing (clang) or may lie.
 * - libdw would open files whose names are in the DWARF: the .dwo of a skeleton
 *   unit when asked for its split unit, which is never done here, and the
 *   .gnu_debugaltlink when it meets a reference to it, which does not happen once an
 *   alternate file has been set: the one that debug_file.h found, else an empty one.
 */
#include "symbols/dwarf_info.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "symbols/demangle.h"
#include "symbols/dwarf_budget.h"
#include "symbols/dwarf_empty.h"
#include "symbols/dwarf_unit.h"
#include "symbols/line_header.h"

#define DWARF_SIZE_MAX (2ULL << 30)
#define UNITS_MAX      (1U << 20)
#define RANGES_MAX     (4U << 20)
#define OVERLAP_MAX    32

/* One contiguous piece of a unit's code; ELF addresses. */
struct unit_range {
	u64 low, high;
	u32 unit;
};

struct dwarf_info {
	const struct image *image;
	Dwarf *dw;
	struct debug_file alt_file;
	Dwarf *alt; /* or the empty one's */
	struct dwarf_empty empty;
	struct dwarf_section line, line_str, str;
	struct dwarf_unit *units;
	size_t n_units, units_cap;
	struct unit_range *ranges; /* sorted by low */
	size_t n_ranges, ranges_cap;
	struct dwarf_budget budget;
};

static bool has_dwarf(const struct elf_file *file)
{
	GElf_Shdr shdr;

	return (elf_file_section(file, ".debug_info", &shdr) && shdr.sh_type != SHT_NOBITS) ||
	       elf_file_section(file, ".zdebug_info", &shdr);
}

/* A section as libdw has left it, decompressed. */
static struct dwarf_section get_section(const struct elf_file *file, const char *name,
					const char *compressed)
{
	struct dwarf_section section = {0};
	const Elf_Data *data;
	GElf_Shdr shdr;
	Elf_Scn *scn;

	scn = elf_file_section(file, name, &shdr);
	if (!scn)
		scn = elf_file_section(file, compressed, &shdr);
	data = scn && shdr.sh_type != SHT_NOBITS ? elf_rawdata(scn, NULL) : NULL;
	if (data && data->d_buf)
		section = (struct dwarf_section){data->d_buf, data->d_size};
	return section;
}

/* Sees to it that libdw never looks for a .gnu_debugaltlink by itself. False: it would. */
static bool set_alt(struct dwarf_info *info, const struct module *module,
		    const struct elf_file *file)
{
	const struct debug_file own = {.elf = *file, .path = module->path};
	GElf_Shdr shdr;

	if (!elf_file_section(file, ".gnu_debugaltlink", &shdr))
		return true;
	if (!debug_file_open_alt(&info->alt_file, module,
				 file == &info->image->own ? &own : &info->image->debug) &&
	    elf_file_dwarf_size(&info->alt_file.elf) <= DWARF_SIZE_MAX)
		info->alt = dwarf_begin_elf(info->alt_file.elf.elf, DWARF_C_READ, NULL);
	if (!info->alt)
		info->alt = dwarf_empty_open(&info->empty);
	if (!info->alt)
		return false;
	dwarf_setalt(info->dw, info->alt);
	return true;
}

static bool add_range(struct dwarf_info *info, u64 low, u64 high)
{
	/* The linker leaves the ranges of what it dropped at 0. */
	if (low >= high || !image_is_text(info->image, low))
		return true;
	if (info->n_ranges == RANGES_MAX || vec_reserve((void **)&info->ranges, &info->ranges_cap,
							info->n_ranges + 1, sizeof(*info->ranges)))
		return false;
	info->ranges[info->n_ranges++] = (struct unit_range){low, high, (u32)info->n_units - 1};
	return true;
}

static bool add_unit(struct dwarf_info *info, Dwarf_Die *die)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t at = 0;

	if (info->n_units == UNITS_MAX || vec_reserve((void **)&info->units, &info->units_cap,
						      info->n_units + 1, sizeof(*info->units)))
		return false;
	info->units[info->n_units++] = (struct dwarf_unit){.die = *die};
	while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0)
		if (!dwarf_budget_step(&info->budget) || !add_range(info, low, high))
			return false;
	return true;
}

static int compare_ranges(const void *pa, const void *pb)
{
	const struct unit_range *a = pa;
	const struct unit_range *b = pb;

	if (a->low != b->low)
		return a->low < b->low ? -1 : 1;
	return a->unit < b->unit ? -1 : a->unit > b->unit;
}

static void index_units(struct dwarf_info *info)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;

	while (!dwarf_get_units(info->dw, cu, &cu, NULL, NULL, &die, NULL)) {
		int tag = dwarf_tag(&die);

		if (!dwarf_budget_step(&info->budget))
			break;
		if (tag != DW_TAG_compile_unit && tag != DW_TAG_skeleton_unit)
			continue;
		if (!add_unit(info, &die))
			break;
	}
	if (info->n_ranges)
		qsort(info->ranges, info->n_ranges, sizeof(*info->ranges), compare_ranges);
}

struct dwarf_info *dwarf_info_open(const struct image *image, const struct module *module)
{
	const struct elf_file *file = has_dwarf(&image->own)         ? &image->own
				      : has_dwarf(&image->debug.elf) ? &image->debug.elf
								     : NULL;
	struct dwarf_info *info;

	if (!file || elf_file_dwarf_size(file) > DWARF_SIZE_MAX)
		return NULL;
	info = calloc(1, sizeof(*info));
	if (!info)
		return NULL;
	info->image = image;
	info->alt_file.elf.fd = -1;
	info->dw = dwarf_begin_elf(file->elf, DWARF_C_READ, NULL);
	if (!info->dw || !set_alt(info, module, file)) {
		dwarf_info_close(info);
		return NULL;
	}
	info->line = get_section(file, ".debug_line", ".zdebug_line");
	info->line_str = get_section(file, ".debug_line_str", ".zdebug_line_str");
	info->str = get_section(file, ".debug_str", ".zdebug_str");
	dwarf_budget_begin(&info->budget);
	index_units(info);
	dwarf_budget_end(&info->budget);
	return info;
}

void dwarf_info_close(struct dwarf_info *info)
{
	if (!info)
		return;
	if (info->dw)
		dwarf_end(info->dw);
	if (info->alt && !info->empty.elf)
		dwarf_end(info->alt);
	dwarf_empty_close(&info->empty);
	debug_file_close(&info->alt_file);
	for (size_t i = 0; i < info->n_units; i++)
		dwarf_unit_deinit(&info->units[i]);
	free(info->units);
	free(info->ranges);
	free(info);
}

static struct dwarf_unit *find_unit(struct dwarf_info *info, u64 pc)
{
	size_t low = 0;
	size_t high = info->n_ranges;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (info->ranges[mid].low <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t i = low; i > 0 && low - i < OVERLAP_MAX; i--)
		if (pc < info->ranges[i - 1].high)
			return &info->units[info->ranges[i - 1].unit];
	return NULL;
}

static const char *string_attr(Dwarf_Die *die, unsigned int name)
{
	Dwarf_Attribute attr;

	return dwarf_formstring(dwarf_attr_integrate(die, name, &attr));
}

static u64 number_attr(Dwarf_Die *die, unsigned int name)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;

	return dwarf_formudata(dwarf_attr(die, name, &attr), &value) ? 0 : value;
}

static bool lines_are_sane(struct dwarf_info *info, struct dwarf_unit *unit)
{
	const char *comp_dir;
	Dwarf_Attribute attr;
	Dwarf_Word offset;

	if (unit->lines)
		return unit->lines > 0;
	unit->lines = -1;
	if (dwarf_formudata(dwarf_attr(&unit->die, DW_AT_stmt_list, &attr), &offset))
		return false;
	comp_dir = string_attr(&unit->die, DW_AT_comp_dir);
	if (line_header_is_sane(&info->line, &info->line_str, &info->str, offset,
				comp_dir ? strlen(comp_dir) : 0))
		unit->lines = 1;
	return unit->lines > 0;
}

static void set_line(struct dwarf_info *info, struct dwarf_unit *unit, u64 pc,
		     struct dwarf_frame *frame)
{
	Dwarf_Line *line;
	int number;

	if (!lines_are_sane(info, unit))
		return;
	line = dwarf_getsrc_die(&unit->die, pc);
	if (!line)
		return;
	frame->file = dwarf_linesrc(line, NULL, NULL);
	if (!dwarf_lineno(line, &number) && number > 0)
		frame->line = (u32)number;
}

/* Where an inlined function was called. */
static void set_call(struct dwarf_info *info, struct dwarf_unit *unit, Dwarf_Die *inlined,
		     struct dwarf_frame *frame)
{
	u64 file = number_attr(inlined, DW_AT_call_file);
	u64 line = number_attr(inlined, DW_AT_call_line);
	Dwarf_Files *files;
	size_t n;

	frame->line = line <= UINT32_MAX ? (u32)line : 0;
	if (lines_are_sane(info, unit) && !dwarf_getsrcfiles(&unit->die, &files, &n) && file < n)
		frame->file = dwarf_filesrc(files, file, NULL, NULL);
}

static void set_name(Dwarf_Die *die, struct dwarf_frame *frame)
{
	frame->linkage_name = string_attr(die, DW_AT_linkage_name);
	if (!frame->linkage_name)
		frame->linkage_name = string_attr(die, DW_AT_MIPS_linkage_name);
	frame->name = string_attr(die, DW_AT_name);
	/* In C it is only there for an alias, as __GI___libc_malloc for __libc_malloc. */
	if (frame->name && frame->linkage_name && !demangle_applies(frame->linkage_name))
		frame->linkage_name = NULL;
}

/* The child of *die, a function or block, whose code holds pc. */
static bool enter(struct dwarf_info *info, Dwarf_Die *die, u64 pc)
{
	Dwarf_Die child;

	if (dwarf_child(die, &child))
		return false;
	do {
		int tag = dwarf_tag(&child);

		if (!dwarf_budget_step(&info->budget))
			return false;
		if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block ||
		     tag == DW_TAG_try_block || tag == DW_TAG_catch_block) &&
		    dwarf_haspc(&child, pc) == 1) {
			*die = child;
			return true;
		}
	} while (!dwarf_next_sibling(&child));
	return false;
}

/* The function and the functions inlined at pc, outermost first; how many. */
static size_t find_chain(struct dwarf_info *info, struct dwarf_unit *unit, u64 pc, Dwarf_Die *chain)
{
	Dwarf_Die die;
	size_t n = 0;

	if (!dwarf_unit_function(unit, info->dw, info->image, &info->budget, pc, &die))
		return 0;
	chain[n++] = die;
	for (int depth = 0; depth < 4 * DWARF_FRAMES_MAX && n < DWARF_FRAMES_MAX; depth++) {
		if (!enter(info, &die, pc))
			break;
		if (dwarf_tag(&die) == DW_TAG_inlined_subroutine)
			chain[n++] = die;
	}
	return n;
}

static size_t find_frames(struct dwarf_info *info, u64 pc, struct dwarf_frame *frames)
{
	struct dwarf_unit *unit = find_unit(info, pc);
	Dwarf_Die chain[DWARF_FRAMES_MAX];
	size_t n;

	if (!unit)
		return 0;
	n = find_chain(info, unit, pc, chain);
	memset(frames, 0, (n ? n : 1) * sizeof(*frames));
	set_line(info, unit, pc, &frames[0]);
	for (size_t i = 0; i < n; i++) {
		set_name(&chain[n - 1 - i], &frames[i]);
		if (i)
			set_call(info, unit, &chain[n - i], &frames[i]);
	}
	return n ? n : frames[0].file != NULL;
}

size_t dwarf_info_find(struct dwarf_info *info, u64 address, struct dwarf_frame *frames)
{
	size_t n;

	if (info->budget.exhausted)
		return 0;
	dwarf_budget_begin(&info->budget);
	n = find_frames(info, address, frames);
	dwarf_budget_end(&info->budget);
	return n;
}
