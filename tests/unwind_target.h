/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_UNWIND_TARGET_H
#define MEMATTACH_TESTS_UNWIND_TARGET_H

/*
 * A stopped process to walk the stacks of: started with pipes as stdin and
 * stdout, its modules known to unwinders of all three kinds, its frames named by
 * libdwfl's own symbol table. In a header because every tests/NAME.c is linked
 * into every runner, whatever folders that has.
 */
#include <check.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/maps.h"
#include "proc/mem.h"
#include "symbols/modules.h"
#include "unwind/unwind.h"

#define UNWIND_KINDS 3

struct target {
	pid_t pid;
	int to, from; /* its stdin and stdout */
	bool traced;
	struct proc_mem mem;
	struct mem_reader reader;
	struct modules *modules;
	u32 known; /* modules that the unwinders were told of */
	struct unwinder *unwinders[UNWIND_KINDS];
	Dwfl *names;
};

/* The path of a file that tests/unwind.mk builds, next to the runner. */
static inline void target_path(char *path, size_t size, const char *name)
{
	char exe[512];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	ck_assert_int_gt(n, 0);
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	ck_assert_int_lt(snprintf(path, size, "%s/targets/%s", exe, name), (int)size);
}

/* Starts argv[0] (NULL-terminated argv), which dies with the test. */
static inline void target_start(struct target *t, char *const argv[])
{
	int in[2], out[2];

	*t = (struct target){0};
	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	t->pid = fork();
	ck_assert_int_ge(t->pid, 0);
	if (t->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0)
			_exit(126);
		execv(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	t->to = in[1];
	t->from = out[0];
}

/* Waits for the byte that says that it is ready. */
static inline void target_await(const struct target *t)
{
	char byte;

	ck_assert_msg(read(t->from, &byte, 1) == 1, "the target ended before it was ready");
}

static inline void target_go(const struct target *t)
{
	ck_assert_int_eq(write(t->to, "g", 1), 1);
}

/* Stops a thread. Signal stops on the way are passed on. */
static inline void target_stop_thread(struct target *t, pid_t tid)
{
	int status;

	if (!t->traced || tid != t->pid)
		ck_assert_int_eq(ptrace(PTRACE_SEIZE, tid, 0, 0), 0);
	t->traced = t->traced || tid == t->pid;
	for (;;) {
		ck_assert_int_eq(ptrace(PTRACE_INTERRUPT, tid, 0, 0), 0);
		ck_assert_int_eq(waitpid(tid, &status, __WALL), tid);
		ck_assert_msg(WIFSTOPPED(status), "the target ended: status %x", status);
		if (status >> 16 == PTRACE_EVENT_STOP)
			return;
		ck_assert_int_eq(ptrace(PTRACE_CONT, tid, 0, WSTOPSIG(status)), 0);
	}
}

/* Tells all unwinders what is mapped now. */
static inline void target_update(struct target *t)
{
	struct maps maps = {0};
	bool changed;

	ck_assert_int_eq(maps_read(&maps, t->pid, NULL), 0);
	ck_assert_int_eq(modules_update(t->modules, &maps, &changed, NULL), 0);
	maps_deinit(&maps);
	while (t->known < modules_count(t->modules)) {
		const struct module *m = modules_get(t->modules, ++t->known);
		struct unwind_module um = {m->id, m->start, m->end, m->bias, m->fd, m->path};

		for (int k = 0; k < UNWIND_KINDS; k++)
			ck_assert_int_eq(unwinder_add_module(t->unwinders[k], &um, NULL), 0);
	}
}

static inline int target_no_debuginfo(Dwfl_Module *mod, void **userdata, const char *name,
				      Dwarf_Addr base, const char *file_name, const char *debuglink,
				      GElf_Word crc, char **debuginfo)
{
	(void)mod, (void)userdata, (void)name, (void)base, (void)file_name, (void)debuglink;
	(void)crc, (void)debuginfo;
	return -1;
}

/* Everything that is needed for walks of a target that is ready. Call it once it is stopped. */
static inline void target_open(struct target *t)
{
	static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_linux_proc_find_elf,
						 .find_debuginfo = target_no_debuginfo};

	ck_assert_int_eq(proc_mem_open(&t->mem, t->pid, NULL), 0);
	t->reader = proc_mem_reader(&t->mem);
	t->modules = modules_create(t->pid, NULL);
	ck_assert_ptr_nonnull(t->modules);
	for (int k = 0; k < UNWIND_KINDS; k++) {
		t->unwinders[k] = unwinder_create((enum unwind_kind)k, t->pid, &t->reader, NULL);
		ck_assert_ptr_nonnull(t->unwinders[k]);
	}
	target_update(t);
	t->names = dwfl_begin(&callbacks);
	ck_assert_ptr_nonnull(t->names);
	dwfl_report_begin(t->names);
	ck_assert_int_eq(dwfl_linux_proc_report(t->names, t->pid), 0);
	dwfl_report_end(t->names, NULL, NULL);
}

static inline void target_end(struct target *t)
{
	pid_t ended;
	int status;

	for (int k = 0; k < UNWIND_KINDS; k++)
		unwinder_destroy(t->unwinders[k]);
	if (t->names)
		dwfl_end(t->names);
	modules_destroy(t->modules);
	if (t->modules)
		proc_mem_close(&t->mem);
	kill(t->pid, SIGKILL);
	/* The leader of a group is reaped last, after the threads that are traced. */
	do
		ended = waitpid(-1, &status, __WALL);
	while (ended > 0 && (ended != t->pid || WIFSTOPPED(status)));
	close(t->to);
	close(t->from);
}

/* The registers of a stopped thread, in DWARF's order. False if it is gone. */
static inline bool target_regs(pid_t tid, struct unwind_regs *regs)
{
	struct user_regs_struct u;

	if (ptrace(PTRACE_GETREGS, tid, 0, &u))
		return false;
	*regs = (struct unwind_regs){{u.rax, u.rdx, u.rcx, u.rbx, u.rsi, u.rdi, u.rbp, u.rsp, u.r8,
				      u.r9, u.r10, u.r11, u.r12, u.r13, u.r14, u.r15, u.rip}};
	return true;
}

struct stack {
	u64 pcs[UNWIND_MAX_DEPTH];
	u32 n;
	enum unwind_end end;
};

static inline void target_walk(struct target *t, enum unwind_kind kind, pid_t tid, u32 max,
			       struct stack *stack)
{
	struct unwind_regs regs;

	ck_assert(target_regs(tid, &regs));
	stack->end = unwinder_walk(t->unwinders[kind], tid, &regs, stack->pcs, max, &stack->n);
}

/* The function at pc, "?" without a name. */
static inline const char *target_name(const struct target *t, u64 pc)
{
	Dwfl_Module *mod = dwfl_addrmodule(t->names, pc);
	GElf_Off offset;
	GElf_Sym sym;
	const char *name =
		mod ? dwfl_module_addrinfo(mod, pc, &offset, &sym, NULL, NULL, NULL) : NULL;

	/* A symbol with a size that ends before pc is not where pc is. */
	return name && (sym.st_size == 0 || offset < sym.st_size) ? name : "?";
}

static inline const char *unwind_end_name(enum unwind_end end)
{
	return end == UNWIND_OUTERMOST ? "outermost" : end == UNWIND_DEPTH ? "depth" : "lost";
}

/* "name name ... [end]" of a stack, for messages. The caller frees it. */
static inline char *target_describe(const struct target *t, const struct stack *stack)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(f);
	for (u32 i = 0; i < stack->n; i++)
		fprintf(f, "%s(%llx) ", target_name(t, stack->pcs[i]),
			(unsigned long long)stack->pcs[i]);
	fprintf(f, "[%s]", unwind_end_name(stack->end));
	fclose(f);
	return text;
}

#endif
