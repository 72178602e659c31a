// SPDX-License-Identifier: MIT
/*
 * Stacks by libdw: slow and exact, the reference for the tables. libdwfl gets
 * the modules' ELF files from the descriptors that we were given, never from
 * names (the target may live in another mount namespace, or the file be gone),
 * looks for no debug files, and reads memory through our window. The files are
 * read, not mapped: a file that the target's owner truncates would kill us.
 */
#include "unwind/libdw_unwinder.h"

#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/vec.h"
#include "unwind/backend.h"
#include "unwind/elf_cfi.h"
#include "unwind/window.h"

struct dw_module {
	u32 id;
	int fd;        /* ours */
	u64 low, high; /* as libdwfl wants it: low is the first PT_LOAD's */
};

struct libdw_unwinder {
	pid_t pid;
	Dwfl *dwfl;
	int self_fd; /* an ELF file that tells libdwfl which machine this is */
	Elf *self_elf;
	struct dw_module *modules;
	size_t n_modules, cap_modules;
	bool stale; /* dwfl does not know these modules yet */
	struct window window;
	/* Of the walk that is going on. */
	pid_t tid;
	const struct unwind_regs *regs;
	enum libdw_known known;
	libdw_visit_fn visit;
	void *visit_ctx;
	/* Of the frame that was visited last, for restart(). */
	struct unwind_regs last;
	bool last_kept;      /* libdw has lost a register that last has */
	bool visited;        /* the first frame is one that was visited before */
	bool last_read_is_0; /* what was read last from memory is 0 */
};

/* The registers, besides rsp, that a function leaves as it found them (psABI x86-64, figure 3.4). */
static const int kept_registers[] = {3, 6, 12, 13, 14, 15};

static struct dw_module *find_module(struct libdw_unwinder *u, u32 id)
{
	for (size_t i = 0; i < u->n_modules; i++)
		if (u->modules[i].id == id)
			return &u->modules[i];
	return NULL;
}

/* Modules are reported under their id as the name; *userdata is the unwinder, once it was set. */
static int find_elf(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
		    char **file_name, Elf **elf)
{
	struct libdw_unwinder *u = *userdata;
	struct dw_module *module = u ? find_module(u, (u32)strtoul(name, NULL, 10)) : NULL;
	int fd;

	(void)mod;
	(void)base;
	if (!module)
		return -1;
	fd = fcntl(module->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	*elf = elf_begin(fd, ELF_C_READ, NULL);
	*file_name = strdup(name);
	if (!*elf || !*file_name) {
		elf_end(*elf);
		free(*file_name);
		*elf = NULL;
		*file_name = NULL;
		close(fd);
		return -1;
	}
	return fd;
}

static int find_debuginfo(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
			  const char *file_name, const char *debuglink, GElf_Word crc,
			  char **debuginfo_file_name)
{
	(void)mod;
	(void)userdata;
	(void)name;
	(void)base;
	(void)file_name;
	(void)debuglink;
	(void)crc;
	(void)debuginfo_file_name;
	return -1;
}

static const Dwfl_Callbacks dwfl_callbacks = {
	.find_elf = find_elf,
	.find_debuginfo = find_debuginfo,
};

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread)
{
	struct libdw_unwinder *u = arg;

	(void)dwfl;
	if (*thread)
		return 0;
	*thread = u;
	return u->tid;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread)
{
	struct libdw_unwinder *u = arg;

	(void)dwfl;
	*thread = u;
	return tid == u->tid;
}

static bool memory_read(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *result, void *arg)
{
	struct libdw_unwinder *u = arg;

	(void)dwfl;
	if (!window_read_u64(&u->window, address, result))
		return false;
	u->last_read_is_0 = *result == 0;
	return true;
}

static bool set_initial_registers(Dwfl_Thread *thread, void *arg)
{
	const struct libdw_unwinder *u = arg;
	const u64 *r = u->regs->r;

	dwfl_thread_state_register_pc(thread, r[16]);
	switch (u->known) {
	case LIBDW_ALL:
		return dwfl_thread_state_registers(thread, 0, UNWIND_REGISTERS, r);
	case LIBDW_KEPT:
		return dwfl_thread_state_registers(thread, 3, 1, r + 3) &&
		       dwfl_thread_state_registers(thread, 6, 2, r + 6) &&
		       dwfl_thread_state_registers(thread, 12, 5, r + 12);
	default:
		return dwfl_thread_state_registers(thread, 6, 2, r + 6) &&
		       dwfl_thread_state_registers(thread, 16, 1, r + 16);
	}
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.get_thread = get_thread,
	.memory_read = memory_read,
	.set_initial_registers = set_initial_registers,
};

static int open_dwfl(struct libdw_unwinder *u, struct err *err)
{
	elf_version(EV_CURRENT);
	u->dwfl = dwfl_begin(&dwfl_callbacks);
	if (!u->dwfl)
		return err_set(err, ENOMEM, "libdw: %s", dwfl_errmsg(-1));
	u->self_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (u->self_fd < 0)
		return err_sys(err, errno,
			       "cannot open /proc/self/exe, which tells libdw the machine");
	u->self_elf = elf_begin(u->self_fd, ELF_C_READ, NULL);
	if (!u->self_elf)
		return err_set(err, EINVAL, "libdw: /proc/self/exe: %s", elf_errmsg(-1));
	if (!dwfl_attach_state(u->dwfl, u->self_elf, u->pid, &thread_callbacks, u))
		return err_set(err, EINVAL, "libdw: %s", dwfl_errmsg(-1));
	return 0;
}

struct libdw_unwinder *libdw_unwinder_create(pid_t pid, const struct mem_reader *memory,
					     struct err *err)
{
	struct libdw_unwinder *u = calloc(1, sizeof(*u));

	if (!u) {
		err_set(err, ENOMEM, "no memory for the libdw unwinder");
		return NULL;
	}
	u->pid = pid;
	u->self_fd = -1;
	u->window.memory = memory;
	if (open_dwfl(u, err)) {
		libdw_unwinder_destroy(u);
		return NULL;
	}
	return u;
}

void libdw_unwinder_destroy(struct libdw_unwinder *u)
{
	if (!u)
		return;
	if (u->dwfl)
		dwfl_end(u->dwfl);
	elf_end(u->self_elf);
	if (u->self_fd >= 0)
		close(u->self_fd);
	for (size_t i = 0; i < u->n_modules; i++)
		close(u->modules[i].fd);
	free(u->modules);
	free(u);
}

int libdw_unwinder_add_module(struct libdw_unwinder *u, const struct unwind_module *module,
			      struct err *err)
{
	struct dw_module m = {.id = module->id, .high = module->end};
	struct elf_cfi elf;

	if (module->fd < 0 || elf_cfi_open(&elf, module->fd))
		return 0;
	m.low = module->bias + elf.first_page;
	elf_cfi_close(&elf);
	if (m.low >= m.high)
		return 0;
	if (vec_reserve((void **)&u->modules, &u->cap_modules, u->n_modules + 1, sizeof(m)))
		return err_set(err, ENOMEM, "no memory for %zu modules", u->n_modules + 1);
	m.fd = fcntl(module->fd, F_DUPFD_CLOEXEC, 0);
	if (m.fd < 0) /* out of descriptors: the module stays unknown to libdw */
		return 0;
	u->modules[u->n_modules++] = m;
	u->stale = true;
	return 0;
}

void libdw_unwinder_remove_module(struct libdw_unwinder *u, u32 id)
{
	struct dw_module *m = find_module(u, id);

	if (!m)
		return;
	close(m->fd);
	*m = u->modules[--u->n_modules];
	u->stale = true;
}

/* Modules that were there before keep what libdwfl has read of them. */
static void report_modules(struct libdw_unwinder *u)
{
	char name[16];

	dwfl_report_begin(u->dwfl);
	for (size_t i = 0; i < u->n_modules; i++) {
		const struct dw_module *m = &u->modules[i];
		Dwfl_Module *mod;
		void **userdata;

		snprintf(name, sizeof(name), "%u", m->id);
		mod = dwfl_report_module(u->dwfl, name, m->low, m->high);
		if (!mod)
			continue;
		dwfl_module_info(mod, &userdata, NULL, NULL, NULL, NULL, NULL, NULL);
		*userdata = u;
	}
	dwfl_report_end(u->dwfl, NULL, NULL);
	u->stale = false;
}

/* Notes a frame's registers. What libdw has no value for was not touched since the frame before. */
static void note_registers(struct libdw_unwinder *u, Dwfl_Frame *state)
{
	Dwarf_Word value;

	u->last_kept = false;
	for (size_t i = 0; i < ARRAY_SIZE(kept_registers); i++) {
		if (dwfl_frame_reg(state, (unsigned)kept_registers[i], &value) == 0)
			u->last.r[kept_registers[i]] = value;
		else
			u->last_kept = true;
	}
	u->last.r[7] = dwfl_frame_reg(state, 7, &value) == 0 ? value : 0;
}

static int visit_frame(Dwfl_Frame *state, void *arg)
{
	struct libdw_unwinder *u = arg;
	struct libdw_frame frame;
	Dwarf_Addr pc;
	bool activation;

	u->last_read_is_0 = false;
	if (!dwfl_frame_pc(state, &pc, &activation))
		return -1;
	note_registers(u, state);
	frame = (struct libdw_frame){
		.pc = pc,
		.sp = u->last.r[7],
		.bp = u->last.r[6],
		.exact = activation,
	};
	u->last.r[16] = frame.exact ? pc : pc - 1;
	if (u->visited) {
		u->visited = false;
		return DWARF_CB_OK;
	}
	return u->visit(u->visit_ctx, &frame) ? DWARF_CB_OK : DWARF_CB_ABORT;
}

/* Does CFI say of the code at pc that it has no caller? */
static bool has_no_caller(struct libdw_unwinder *u, u64 pc)
{
	Dwfl_Module *mod = dwfl_addrmodule(u->dwfl, pc);
	Dwarf_Op mem[3], *ops;
	Dwarf_Frame *frame;
	Dwarf_Addr bias;
	Dwarf_CFI *cfi = mod ? dwfl_module_eh_cfi(mod, &bias) : NULL;
	size_t n;
	bool none;

	if (!cfi || dwarf_cfi_addrframe(cfi, pc - bias, &frame))
		return false;
	none = dwarf_frame_register(frame, 16, mem, &ops, &n) == 0 && n == 0 && ops == mem;
	free(frame);
	return none;
}

static int walk_once(struct libdw_unwinder *u, const struct unwind_regs *regs,
		     enum libdw_known known)
{
	u->regs = regs;
	u->known = known;
	return dwfl_getthread_frames(u->dwfl, u->tid, visit_frame, u);
}

/*
 * libdw 0.188 takes rbx for a register that calls destroy (its table of the ABI
 * has a 0 for it), so that it cannot leave a function whose CFA is rbx + n, such
 * as the dynamic linker's _dl_runtime_resolve; and when it cannot go on it says
 * that the stack is whole. So what it calls the end is examined, and if it had
 * lost a register the walk is taken up again with that, from the last frame.
 */
enum unwind_end libdw_unwinder_frames(struct libdw_unwinder *u, pid_t tid,
				      const struct unwind_regs *regs, enum libdw_known known,
				      libdw_visit_fn visit, void *ctx)
{
	struct unwind_regs again;
	u64 last_sp;
	int ret;

	if (u->stale)
		report_modules(u);
	u->tid = tid;
	u->visit = visit;
	u->visit_ctx = ctx;
	u->last = *regs;
	u->visited = false;
	window_start(&u->window, regs->r[7]);
	ret = walk_once(u, regs, known);
	for (;;) {
		if (ret == DWARF_CB_ABORT)
			return UNWIND_DEPTH;
		if (ret == DWARF_CB_OK && (u->last_read_is_0 || has_no_caller(u, u->last.r[16])))
			return UNWIND_OUTERMOST;
		if (known == LIBDW_RBP_RSP_RIP || !u->last_kept)
			return UNWIND_LOST;
		again = u->last;
		last_sp = again.r[7];
		u->visited = true;
		ret = walk_once(u, &again, LIBDW_KEPT);
		if (u->last.r[7] <= last_sp)
			return UNWIND_LOST;
	}
}

struct collect {
	u64 *pcs;
	u32 max;
	u32 *count;
};

static bool collect_frame(void *ctx, const struct libdw_frame *frame)
{
	struct collect *c = ctx;

	if (*c->count == c->max)
		return false;
	c->pcs[(*c->count)++] = frame->exact ? frame->pc : frame->pc - 1;
	return true;
}

static void *backend_create(pid_t pid, const struct mem_reader *memory, struct err *err)
{
	return libdw_unwinder_create(pid, memory, err);
}

static void backend_destroy(void *impl)
{
	libdw_unwinder_destroy(impl);
}

static int backend_add(void *impl, const struct unwind_module *module, struct err *err)
{
	return libdw_unwinder_add_module(impl, module, err);
}

static void backend_remove(void *impl, u32 id)
{
	libdw_unwinder_remove_module(impl, id);
}

static enum unwind_end backend_walk(void *impl, const struct walk_request *request, u64 *pcs,
				    u32 max, u32 *count)
{
	struct libdw_unwinder *u = impl;
	struct unwind_regs regs = *request->regs;
	struct collect collect = {.pcs = pcs, .max = max, .count = count};

	if (request->entry) {
		collect_frame(&collect, &(struct libdw_frame){.pc = regs.r[16], .exact = true});
		if (walk_request_return(request, u->window.memory, &regs))
			return UNWIND_LOST;
	}
	return libdw_unwinder_frames(u, request->tid, &regs, LIBDW_ALL, collect_frame, &collect);
}

const struct unwind_backend unwind_libdw_backend = {
	.create = backend_create,
	.destroy = backend_destroy,
	.add_module = backend_add,
	.remove_module = backend_remove,
	.walk = backend_walk,
};
