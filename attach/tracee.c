// SPDX-License-Identifier: MIT
/*
 * The wait loop: a raw wait status becomes one enum (attach/event.h), and
 * whatever needs no decision of the session is dealt with here.
 *
 * A stop in which a signal is about to be delivered, and that includes our
 * breakpoints, is looked at with WNOWAIT and never reaped. Reaping it clears the
 * thread's exit_code; if memattach were killed after that, the signal would be
 * gone and the thread would run on behind the int3, in the middle of an
 * instruction. Unreaped, the signal is delivered, and the agent deals with it.
 *
 * waitid reports the first ready thread of a list in a fixed order: threads at its
 * end would starve. So now and then all threads are looked at one by one, and
 * those that are ready are served before anybody else.
 *
 * Who is new? With PTRACE_O_TRACECLONE and its kind the child is traced from
 * birth. In its first stop it is judged by itself: a thread of the target (tgkill
 * accepts it), a process that shares the target's memory (kcmp), or a fork, which
 * must be released with its copy of the text clean. That stop may be seen before
 * the event of its parent or after; whichever comes second finds it noted.
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

/* A thread that still has the target's memory: a main thread that has ended has none. */
static pid_t living(const struct tracee *tracee)
{
	for (u32 i = 0; i < threads_count(tracee->threads); i++) {
		const struct thread *thread = threads_at(tracee->threads, i);

		if (!thread->exiting && !thread->own_process && !thread->unborn)
			return thread->tid;
	}
	return tracee->pid;
}

/* Does tid run in the target's memory? *own_process: as a process of its own. */
static bool shares_memory(const struct tracee *tracee, pid_t tid, bool *own_process)
{
	long same;

	*own_process = syscall(SYS_tgkill, tracee->pid, tid, 0) != 0 && errno == ESRCH;
	if (!*own_process)
		return true;
	same = syscall(SYS_kcmp, living(tracee), tid, KCMP_VM, 0, 0);
	/* Without kcmp (CONFIG_KCMP, seccomp) a vfork child is taken for a fork; a fork is far more common. */
	return same == 0;
}

static void remember_mask(struct thread *thread)
{
	u64 mask;

	if (pt(PTRACE_GETSIGMASK, thread->tid, sizeof(mask), (u64)(uintptr_t)&mask) == 0)
		thread->mask_at_start = mask;
}

static bool note_newborn(struct tracee *tracee, pid_t tid, int status, struct thread *thread,
			 struct tracee_event *event)
{
	bool own_process;

	if (!shares_memory(tracee, tid, &own_process)) {
		if (thread)
			threads_remove(tracee->threads, thread);
		event->kind = EVENT_STOP;
		event->newborn = tid;
		event->thread = NULL;
		return true;
	}
	if (!thread)
		thread = threads_add(tracee->threads, tid);
	if (!thread) {
		/* Without a record of it, it would stand still for ever. */
		pt(PTRACE_DETACH, tid, 0, 0);
		return false;
	}
	thread->own_process = own_process;
	thread->unborn = false;
	thread->state = THREAD_STOPPED;
	remember_mask(thread);
	event->kind = trace_event_decode(status);
	event->thread = thread;
	return true;
}

/* A tid that nobody has told us of. */
static bool note_unknown(struct tracee *tracee, pid_t tid, int status, struct tracee_event *event)
{
	if (!WIFSTOPPED(status)) {
		event->kind = EVENT_STRANGER;
		event->newborn = tid;
		return true;
	}
	tracee->early[tracee->early_at++ % ARRAY_SIZE(tracee->early)] = tid;
	return note_newborn(tracee, tid, status, NULL, event);
}

/*
 * The parent's event: unless the child was there first, its first stop is to be
 * expected. The second time that a kept event is looked at it may be gone again.
 */
static void expect_child(struct tracee *tracee, const struct thread *parent, bool again,
			 u64 *message)
{
	struct thread *child;

	if (pt(PTRACE_GETEVENTMSG, parent->tid, 0, (u64)(uintptr_t)message) || again)
		return;
	for (u32 i = 0; i < ARRAY_SIZE(tracee->early); i++) {
		if (tracee->early[i] == (pid_t)*message) {
			tracee->early[i] = 0;
			return;
		}
	}
	if (threads_find(tracee->threads, (pid_t)*message))
		return;
	/* Without memory for it, its first stop is taken as it comes. */
	child = threads_add(tracee->threads, (pid_t)*message);
	if (child)
		child->unborn = true;
}

bool tracee_note(struct tracee *tracee, pid_t tid, int status, struct tracee_event *event)
{
	struct thread *thread = threads_find(tracee->threads, tid);
	bool again;

	*event = (struct tracee_event){.status = status};
	if (!thread)
		return note_unknown(tracee, tid, status, event);
	if (thread->unborn && WIFSTOPPED(status))
		return note_newborn(tracee, tid, status, thread, event);
	again = thread->noted;
	thread->noted = false;
	thread->regs_valid = false;
	thread->state = THREAD_STOPPED;
	thread->trap_due = false;
	thread->stuck = false;
	/* It is out of it, unless this is its beginning. */
	thread->in_vfork = false;
	/* Any stop clears a pending PTRACE_INTERRUPT: no other one may follow. */
	thread->interrupted = false;
	event->thread = thread;
	event->kind = trace_event_decode(status);
	event->signal = trace_event_signal(status);
	thread->group_stopped = event->kind == EVENT_GROUP_STOP;
	switch (event->kind) {
	case EVENT_VFORK:
		thread->in_vfork = true;
		expect_child(tracee, thread, again, &event->message);
		break;
	case EVENT_FORK:
	case EVENT_CLONE:
		expect_child(tracee, thread, again, &event->message);
		break;
	case EVENT_EXIT:
		thread->exiting = true;
		break;
	default:
		break;
	}
	return true;
}

/* What waitpid would have said. */
static int wait_status(const siginfo_t *info)
{
	switch (info->si_code) {
	case CLD_EXITED:
		return (info->si_status & 0xff) << 8;
	case CLD_KILLED:
		return info->si_status;
	case CLD_DUMPED:
		return info->si_status | 0x80;
	default:
		return info->si_status << 8 | 0x7f;
	}
}

/* A stop for a signal; the others carry nothing that would be lost with us. */
static bool must_stay_unreaped(int status)
{
	enum trace_event kind = trace_event_decode(status);

	return kind == EVENT_TRAP || kind == EVENT_SIGNAL;
}

static pid_t wait_for(idtype_t type, pid_t id, int flags, int *status)
{
	siginfo_t info;

	info.si_pid = 0;
	if (waitid(type, (id_t)id, &info, WSTOPPED | WEXITED | __WALL | WNOWAIT | flags))
		return -errno;
	if (!info.si_pid)
		return 0;
	*status = wait_status(&info);
	if (!must_stay_unreaped(*status) &&
	    waitid(P_PID, (id_t)info.si_pid, &info, WSTOPPED | WEXITED | __WALL | WNOHANG))
		return -errno;
	return info.si_pid;
}

pid_t tracee_poll(pid_t tid, int *status)
{
	return wait_for(tid ? P_PID : P_ALL, tid, WNOHANG, status);
}

pid_t tracee_take_newborn(struct tracee *tracee)
{
	return tracee->newborns_n ? tracee->newborns[--tracee->newborns_n] : 0;
}

static pid_t wait_any(struct tracee *tracee, int *status)
{
	u64 until = pace_poll_until(&tracee->pace);

	while (until) {
		for (int i = 0; i < 16; i++) {
			pid_t tid = tracee_poll(0, status);

			if (tid != 0)
				return tid;
		}
		if (clock_ns() > until) {
			pace_rest(&tracee->pace);
			break;
		}
	}
	return wait_for(P_ALL, 0, 0, status);
}

/* Puts every thread that has stopped into the queue, beginning with those that were last, last time. */
static void look_at_all(struct tracee *tracee)
{
	u32 n = threads_count(tracee->threads);

	tracee->since_scan = 0;
	for (u32 i = 0; i < n; i++) {
		struct thread *thread = threads_at(tracee->threads, (tracee->scan_at + i) % n);
		int status;

		/* A queue without room is no harm: what is not in it is found again. */
		if (thread->state == THREAD_RUNNING && !thread->has_status && !thread->unborn &&
		    tracee_poll(thread->tid, &status) > 0)
			tracee_queue_status(tracee, thread, status);
	}
	tracee->scan_at = n ? (tracee->scan_at + 1) % n : 0;
}

/* A look at all costs a system call a thread: not more than one an event or so. */
static bool look_is_due(const struct tracee *tracee)
{
	u32 n = threads_count(tracee->threads);

	return n > 1 && tracee->since_scan >= 4 && tracee->since_scan >= n / 2;
}

int tracee_next(struct tracee *tracee, struct tracee_event *event)
{
	struct thread *thread;
	int status;
	pid_t tid;

	if (!tracee->queue_n && look_is_due(tracee))
		look_at_all(tracee);
	if (tracee->newborns_n) {
		*event = (struct tracee_event){.kind = EVENT_STOP};
		event->newborn = tracee_take_newborn(tracee);
		return 0;
	}
	do {
		thread = take_queued(tracee);
		if (thread) {
			tid = thread->tid;
			status = thread->status;
		} else {
			tid = wait_any(tracee, &status);
			if (tid < 0)
				return tid;
		}
	} while (!tracee_note(tracee, tid, status, event));
	tracee->since_scan++;
	if (event->kind == EVENT_TRAP)
		pace_event(&tracee->pace, clock_ns());
	else
		pace_rest(&tracee->pace);
	if (event->kind == EVENT_EXEC)
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
		/* Refused in a stop of another kind: SIGKILL has overtaken us. */
		if (ret == 0 || ret == -ESRCH)
			return ret;
	}
	thread->state = THREAD_RUNNING;
	return pt(PTRACE_CONT, thread->tid, 0, (u64)sig);
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

void tracee_drop_signal(struct thread *thread)
{
	siginfo_t info;

	/* Reaping takes the signal out of the thread's exit_code, from where the kernel would deliver it. */
	waitid(P_PID, (id_t)thread->tid, &info, WSTOPPED | __WALL | WNOHANG);
	thread->has_status = false;
}
