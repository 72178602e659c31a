// SPDX-License-Identifier: MIT
/*
 * The wait loop: a raw wait status becomes one enum (attach/event.h), and
 * whatever needs no decision of the session is dealt with here.
 *
 * Who is new? With PTRACE_O_TRACECLONE and its kind the child is traced from
 * birth and its first stop may be seen before the event of its parent. So a
 * tid that is not in the table is judged by itself, in its first stop: a thread
 * of the target (tgkill accepts it), a process that shares the target's memory
 * (kcmp), or a fork, which must be released with its copy of the text clean.
 */
#include "attach/tracee_internal.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/eintr_x86_64.h"
#include "attach/ptrace.h"
#include "base/clock.h"
#include "proc/status.h"

/*
 * A thread that allocates stops several times within a few microseconds.
 * Sleeping in waitpid between its stops costs a wake-up on another CPU each time,
 * four times the price of a stop (DESIGN section 5), so after an event we poll
 * for this long before we sleep.
 */
#define SPIN_NS 50000

struct tracee *tracee_create(pid_t pid, bool open_memory, struct err *err)
{
	struct tracee *tracee = calloc(1, sizeof(*tracee));

	if (!tracee) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	tracee->pid = pid;
	tracee->mem.fd = -1;
	tracee->threads = threads_create();
	if (!tracee->threads) {
		err_set(err, ENOMEM, "out of memory");
		tracee_destroy(tracee);
		return NULL;
	}
	if (open_memory && proc_mem_open(&tracee->mem, pid, err)) {
		tracee_destroy(tracee);
		return NULL;
	}
	return tracee;
}

void tracee_destroy(struct tracee *tracee)
{
	if (!tracee)
		return;
	threads_destroy(tracee->threads);
	proc_mem_close(&tracee->mem);
	free(tracee->queue);
	free(tracee->newborns);
	free(tracee);
}

pid_t tracee_pid(const struct tracee *tracee)
{
	return tracee->pid;
}

const struct proc_mem *tracee_mem(const struct tracee *tracee)
{
	return &tracee->mem;
}

struct threads *tracee_threads(const struct tracee *tracee)
{
	return tracee->threads;
}

int tracee_queue_status(struct tracee *tracee, struct thread *thread, int status)
{
	if (tracee->queue_n == tracee->queue_cap) {
		size_t cap = tracee->queue_cap ? tracee->queue_cap * 2 : 64;
		pid_t *ring = malloc(cap * sizeof(*ring));

		if (!ring)
			return -ENOMEM;
		for (size_t i = 0; i < tracee->queue_n; i++)
			ring[i] = tracee->queue[(tracee->queue_head + i) % tracee->queue_cap];
		free(tracee->queue);
		tracee->queue = ring;
		tracee->queue_cap = cap;
		tracee->queue_head = 0;
	}
	tracee->queue[(tracee->queue_head + tracee->queue_n++) % tracee->queue_cap] = thread->tid;
	thread->has_status = true;
	thread->status = status;
	return 0;
}

/* The oldest kept status, unless the thread has gone meanwhile. */
static struct thread *take_queued(struct tracee *tracee)
{
	while (tracee->queue_n) {
		pid_t tid = tracee->queue[tracee->queue_head];
		struct thread *thread = threads_find(tracee->threads, tid);

		tracee->queue_head = (tracee->queue_head + 1) % tracee->queue_cap;
		tracee->queue_n--;
		if (thread && thread->has_status) {
			thread->has_status = false;
			return thread;
		}
	}
	return NULL;
}

/* Does tid run in the target's memory? *own_process: as a process of its own. */
static bool shares_memory(const struct tracee *tracee, pid_t tid, bool *own_process)
{
	struct proc_status status;
	long same;

	*own_process = syscall(SYS_tgkill, tracee->pid, tid, 0) != 0;
	if (!*own_process)
		return true;
	same = syscall(SYS_kcmp, tracee->pid, tid, KCMP_VM, 0, 0);
	if (same >= 0)
		return same == 0;
	/* No kcmp: a vfork child is a copy of its parent in VmSize, a fork child as well. Be safe. */
	return proc_status_read(&status, tid, NULL) == 0 && status.tgid == tracee->pid;
}

static void remember_mask(struct thread *thread)
{
	u64 mask;

	if (pt(PTRACE_GETSIGMASK, thread->tid, sizeof(mask), (u64)(uintptr_t)&mask) == 0)
		thread->traps_blocked = mask & (1ULL << (SIGTRAP - 1));
}

static bool note_newborn(struct tracee *tracee, pid_t tid, int status, struct tracee_event *event)
{
	bool own_process;
	struct thread *thread;

	event->status = status;
	if (!WIFSTOPPED(status)) {
		event->kind = EVENT_STRANGER;
		event->newborn = tid;
		return true;
	}
	if (!shares_memory(tracee, tid, &own_process)) {
		event->kind = EVENT_STOP;
		event->newborn = tid;
		return true;
	}
	thread = threads_add(tracee->threads, tid);
	if (!thread) {
		/* Better a thread that runs into breakpoints of ours and is killed by
		 * nobody: keep it stopped would hang the target; this one is let go. */
		pt(PTRACE_DETACH, tid, 0, 0);
		return false;
	}
	thread->own_process = own_process;
	thread->state = THREAD_STOPPED;
	remember_mask(thread);
	event->kind = trace_event_decode(status);
	event->thread = thread;
	return true;
}

bool tracee_note(struct tracee *tracee, pid_t tid, int status, struct tracee_event *event)
{
	struct thread *thread = threads_find(tracee->threads, tid);

	*event = (struct tracee_event){.status = status};
	if (!thread)
		return note_newborn(tracee, tid, status, event);
	thread->regs_valid = false;
	thread->state = THREAD_STOPPED;
	event->thread = thread;
	event->kind = trace_event_decode(status);
	event->signal = trace_event_signal(status);
	switch (event->kind) {
	case EVENT_STOP:
		thread->interrupted = false;
		thread->group_stopped = false;
		break;
	case EVENT_GROUP_STOP:
		thread->interrupted = false;
		thread->group_stopped = true;
		break;
	case EVENT_VFORK:
		thread->in_vfork = true;
		break;
	case EVENT_VFORK_DONE:
		thread->in_vfork = false;
		break;
	case EVENT_EXIT:
		thread->exiting = true;
		break;
	default:
		break;
	}
	return true;
}

pid_t tracee_take_newborn(struct tracee *tracee)
{
	return tracee->newborns_n ? tracee->newborns[--tracee->newborns_n] : 0;
}

static pid_t wait_any(struct tracee *tracee, int *status)
{
	pid_t tid;

	if (tracee->spin) {
		u64 deadline = tracee->last_event_ns + SPIN_NS;

		do {
			for (int i = 0; i < 16; i++) {
				tid = waitpid(-1, status, __WALL | WNOHANG);
				if (tid != 0)
					return tid;
			}
		} while (clock_ns() < deadline);
		tracee->spin = false;
	}
	return waitpid(-1, status, __WALL);
}

static bool has_message(enum trace_event kind)
{
	return kind == EVENT_CLONE || kind == EVENT_FORK || kind == EVENT_VFORK ||
	       kind == EVENT_EXEC;
}

int tracee_next(struct tracee *tracee, struct tracee_event *event)
{
	struct thread *thread = take_queued(tracee);
	int status;
	pid_t tid;

	if (thread) {
		bool valid = thread->regs_valid;

		tracee_note(tracee, thread->tid, thread->status, event);
		thread->regs_valid = valid;
	} else if (tracee->strangers_n) {
		u32 i = --tracee->strangers_n;

		*event = (struct tracee_event){.kind = EVENT_STRANGER,
					       .newborn = tracee->strangers[i].pid,
					       .status = tracee->strangers[i].status};
		return 0;
	} else if (tracee->newborns_n) {
		*event = (struct tracee_event){.kind = EVENT_STOP};
		event->newborn = tracee_take_newborn(tracee);
		return 0;
	} else {
		do {
			tid = wait_any(tracee, &status);
			if (tid < 0)
				return -errno;
		} while (!tracee_note(tracee, tid, status, event));
		tracee->last_event_ns = clock_ns();
		tracee->spin = event->kind == EVENT_TRAP;
	}
	if (has_message(event->kind))
		pt(PTRACE_GETEVENTMSG, event->thread->tid, 0, (u64)(uintptr_t)&event->message);
	return 0;
}

int tracee_get_regs(struct thread *thread)
{
	int ret;

	if (thread->regs_valid)
		return 0;
	ret = pt(PTRACE_GETREGS, thread->tid, 0, (u64)(uintptr_t)&thread->regs.u);
	thread->regs_valid = ret == 0;
	return ret;
}

int tracee_set_regs(struct thread *thread)
{
	return pt(PTRACE_SETREGS, thread->tid, 0, (u64)(uintptr_t)&thread->regs.u);
}

int tracee_set_pc(struct thread *thread, u64 pc)
{
	thread->regs.u.rip = pc;
	return pt(PTRACE_POKEUSER, thread->tid, REGS_PC_OFFSET, pc);
}

int tracee_resume(struct tracee *tracee, struct thread *thread, int sig)
{
	int ret;

	(void)tracee;
	thread->regs_valid = false;
	if (thread->group_stopped) {
		thread->state = THREAD_LISTENING;
		ret = pt(PTRACE_LISTEN, thread->tid, 0, 0);
	} else {
		thread->state = THREAD_RUNNING;
		ret = pt(PTRACE_CONT, thread->tid, 0, (u64)sig);
	}
	return ret;
}

void tracee_forget(struct tracee *tracee, struct thread *thread)
{
	threads_remove(tracee->threads, thread);
}

static bool target_ignores(const struct tracee *tracee, int sig)
{
	struct proc_status status;
	u64 bit = 1ULL << (sig - 1);

	if (proc_status_read(&status, tracee->pid, NULL))
		return false;
	if (status.sig_ignored & bit)
		return true;
	return !(status.sig_caught & bit) &&
	       (sig == SIGCHLD || sig == SIGURG || sig == SIGWINCH || sig == SIGCONT);
}

int tracee_signal_fixup(struct tracee *tracee, struct thread *thread, int sig)
{
	struct user_regs_struct *u = &thread->regs.u;
	int ret = tracee_get_regs(thread);
	bool changed = false;

	if (ret)
		return ret;
	/*
	 * Without a tracer an ignored signal would not even wake the thread; with
	 * one it does, and a call that cannot be restarted would return EINTR.
	 */
	if (thread->restarted_pc && u->rip == thread->restarted_pc) {
		if (!target_ignores(tracee, sig))
			changed = eintr_redo(thread);
	} else if ((s64)u->rax == -EINTR && (s64)u->orig_rax >= 0 && target_ignores(tracee, sig)) {
		changed = eintr_undo(thread);
	}
	return changed ? tracee_set_regs(thread) : 0;
}
