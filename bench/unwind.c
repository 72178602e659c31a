// SPDX-License-Identifier: MIT
/*
 * What one walk of a stack 20 frames deep costs by each back end: prints
 * nanoseconds a walk, for the tables also without reading the target (the copy of
 * the stack comes from memory of ours), and the cost of that one read.
 *
 *	unwind [WALKS]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/maps.h"
#include "proc/mem.h"
#include "symbols/modules.h"
#include "unwind/unwind.h"

#define FRAMES 20

static volatile int sink;

/* A stack of known depth in the child: main and what is below it are the other frames. */
__attribute__((noinline)) static void recurse(int n)
{
	if (n == 0)
		raise(SIGSTOP);
	else
		recurse(n - 1);
	sink++;
}

/* A copy of the child's stack. */
struct copy {
	u64 base;
	size_t len;
	u8 data[65536];
};

static ssize_t read_copy(void *ctx, u64 addr, void *buf, size_t len)
{
	const struct copy *c = ctx;
	u64 at = addr - c->base;

	if (at >= c->len)
		return -14; /* -EFAULT */
	if (len > c->len - at)
		len = c->len - at;
	memcpy(buf, c->data + at, len);
	return (ssize_t)len;
}

static int add_modules(struct unwinder *u, const struct modules *modules)
{
	for (u32 id = 1; id <= modules_count(modules); id++) {
		const struct module *m = modules_get(modules, id);
		struct unwind_module um = {m->id, m->start, m->end, m->bias, m->fd, m->path};

		if (unwinder_add_module(u, &um, NULL))
			return -1;
	}
	return 0;
}

static int measure(const char *name, enum unwind_kind kind, pid_t pid,
		   const struct mem_reader *reader, const struct modules *modules,
		   const struct unwind_regs *regs, unsigned walks)
{
	struct unwinder *u = unwinder_create(kind, pid, reader, NULL);
	u64 pcs[UNWIND_MAX_DEPTH], before;
	u32 n = 0;

	if (!u || add_modules(u, modules)) {
		unwinder_destroy(u);
		return -1;
	}
	unwinder_walk(u, pid, regs, pcs, FRAMES, &n);
	before = clock_ns();
	for (unsigned i = 0; i < walks; i++)
		unwinder_walk(u, pid, regs, pcs, FRAMES, &n);
	printf("%-40s %8.0f ns a walk of %u frames\n", name, (double)(clock_ns() - before) / walks,
	       n);
	unwinder_destroy(u);
	return n == FRAMES ? 0 : -1;
}

static int measure_all(pid_t pid, const struct proc_mem *mem, const struct modules *modules,
		       unsigned walks)
{
	struct mem_reader live = proc_mem_reader(mem);
	struct copy *copy = calloc(1, sizeof(*copy));
	struct mem_reader copied = {.read = read_copy, .ctx = copy};
	struct user_regs_struct r;
	struct unwind_regs regs;
	u64 before;
	ssize_t n;
	int ret;

	if (!copy || ptrace(PTRACE_GETREGS, pid, 0, &r)) {
		free(copy);
		return -1;
	}
	regs = (struct unwind_regs){{r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8,
				     r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip}};
	copy->base = r.rsp;
	n = proc_mem_read(mem, r.rsp, copy->data, sizeof(copy->data));
	copy->len = n > 0 ? (size_t)n : 0;
	before = clock_ns();
	for (unsigned i = 0; i < walks; i++)
		n = proc_mem_read(mem, r.rsp, copy->data, 4096);
	printf("%-40s %8.0f ns\n", "one read of 4 KB", (double)(clock_ns() - before) / walks);
	ret = measure("tables, stack copied before", UNWIND_TABLE, pid, &copied, modules, &regs,
		      walks);
	ret |= measure("tables", UNWIND_TABLE, pid, &live, modules, &regs, walks);
	ret |= measure("libdw", UNWIND_LIBDW, pid, &live, modules, &regs, walks / 100 + 1);
	ret |= measure("libunwind", UNWIND_LIBUNWIND, pid, &live, modules, &regs, walks / 100 + 1);
	free(copy);
	return ret;
}

int main(int argc, char **argv)
{
	unsigned walks = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
	struct modules *modules;
	struct proc_mem mem;
	struct maps maps;
	bool changed;
	int status, ret;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(1);
		recurse(30);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return 1;
	modules = modules_create(pid, NULL);
	ret = !modules || proc_mem_open(&mem, pid, NULL) || maps_read(&maps, pid, NULL);
	if (!ret) {
		ret = modules_update(modules, &maps, &changed, NULL) ||
		      measure_all(pid, &mem, modules, walks);
		maps_deinit(&maps);
		proc_mem_close(&mem);
	}
	modules_destroy(modules);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return ret ? 1 : 0;
}
