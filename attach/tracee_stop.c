// SPDX-License-Identifier: MIT
/*
 * Stopping every thread, single steps, and letting go.
 */
#include "attach/tracee_internal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "attach/eintr_x86_64.h"
#include "attach/ptrace.h"
#include "base/clock.h"
#include "base/vec.h"
#include "proc/stat.h"
#include "proc/status.h"
#include "proc/waiting.h"

/* Milliseconds in which vfork parents, which cannot be stopped, are waited for when all are let go. */
#define LATE_TRIES 1000

/*
 * A thread in an uninterruptible wait (a disk, a dead NFS server) must not hold us, or the
 * target, for long. With our interrupt pending it stops before it runs any code of its own.
 */
#define STOP_PATIENCE_NS  1000000000ULL
#define STUCK_PATIENCE_NS 50000000ULL

/* After so long it is looked at what keeps a thread from stopping, and then this often. */
#define LOOK_AFTER_NS 2000000ULL

/* How many pending signals of a thread are looked at for a SIGTRAP, which the kernel queues at most once. */
#define PENDING_MAX 64

/* Is a stop of this thread still to come? */
static bool is_awaited(const struct tracee *tracee, const struct thread *thread)
{
	/* Of a leader that has ended nothing is heard until its other threads have ended, too. */
	if (thread->exiting && thread->tid == tracee->pid && threads_count(tracee->threads) > 1)
		return false;
	return thread->state != THREAD_STOPPED && !thread->in_vfork && !thread->exiting &&
	       !thread->stuck;
}

static bool is_uninterruptible(const struct thread *thread)
{
	struct proc_stat stat;

	return proc_stat_read(&stat, thread->tid, NULL) == 0 && stat.state == 'D';
}

/* Does it wait for its vfork child? One that was made before we came was told of by nobody. */
static bool waits_for_child(const struct tracee *tracee, const struct thread *thread)
{
	struct proc_waiting waiting;
	u64 flags;

	if (proc_waiting_read(&waiting, thread->tid))
		return false;
	flags = waiting.argument;
	/* The flags are the first word of its argument. */
	if (waiting.number == SYS_clone3 &&
	    proc_mem_read(&tracee->mem, flags, &flags, sizeof(flags)) != (ssize_t)sizeof(flags))
		return false;
	return waiting.number == SYS_vfork ||
	       ((waiting.number == SYS_clone || waiting.number == SYS_clone3) &&
		flags & CLONE_VFORK);
}

/* What keeps the others so long? */
static void look_at_awaited(struct tracee *tracee, bool patient)
{
	for (u32 i = 0; i < threads_count(tracee->threads); i++) {
		struct thread *thread = threads_at(tracee->threads, i);

		if (!is_awaited(tracee, thread) || !is_uninterruptible(thread))
			continue;
		if (waits_for_child(tracee, thread))
			thread->in_vfork = true;
		else if (!patient)
			thread->stuck = true;
	}
}

/* Those that were once: are they still? */
static void look_at_stuck(struct tracee *tracee)
{
	for (u32 i = 0; i < threads_count(tracee->threads); i++) {
		struct thread *thread = threads_at(tracee->threads, i);

		if (thread->stuck)
			thread->stuck = is_uninterruptible(thread);
	}
}

/* Keeps a stop that tracee_note has seen. 0 or -ENOMEM. */
static int queue_noted(struct tracee *tracee, struct thread *thread, int status)
{
	int ret = tracee_queue_status(tracee, thread, status);

	thread->noted = ret == 0;
	return ret;
}

/* Stops that were put into the queue without a look at them: their threads stand still, too. */
static void note_queued(struct tracee *tracee)
{
	for (u32 i = 0; i < threads_count(tracee->threads); i++) {
		struct thread *thread = threads_at(tracee->threads, i);
		struct tracee_event event;

		if (thread->has_status && !thread->noted)
			thread->noted = tracee_note(tracee, thread->tid, thread->status, &event);
	}
}

static void interrupt_running(struct tracee *tracee)
{
	for (u32 i = 0; i < threads_count(tracee->threads); i++) {
		struct thread *thread = threads_at(tracee->threads, i);

		if (!is_awaited(tracee, thread) || thread->interrupted || thread->trap_due ||
		    thread->unborn)
			continue;
		/* It has ended: a main thread whose other threads live on is reported last. */
		if (pt(PTRACE_INTERRUPT, thread->tid, 0, 0) == -ESRCH)
			thread->exiting = true;
		else
			thread->interrupted = true;
	}
}

/*
 * An int3 that a thread executed just before our interrupt: the kernel stops it
 * for the interrupt first, with the SIGTRAP pending and pc behind the int3.
 */
static bool has_pending_trap(const struct thread *thread)
{
	struct __ptrace_peeksiginfo_args args = {.off = 0, .flags = 0, .nr = PENDING_MAX};
	siginfo_t pending[PENDING_MAX];
	long n = ptrace(PTRACE_PEEKSIGINFO, thread->tid, &args, pending);

	for (long i = 0; i < n; i++)
		if (pending[i].si_signo == SIGTRAP && pending[i].si_code == SI_KERNEL)
			return true;
	return false;
}

/* A stop seen while stopping all: an answer to our interrupt needs no handling, anything else is kept. */
static int keep(struct tracee *tracee, pid_t tid, int status)
{
	struct thread *known = threads_find(tracee->threads, tid);
	bool answer = known && known->interrupted;
	struct tracee_event event;

	if (!tracee_note(tracee, tid, status, &event))
		return 0;
	if (event.newborn) {
		if (vec_reserve((void **)&tracee->newborns, &tracee->newborns_cap,
				tracee->newborns_n + 1, sizeof(pid_t)))
			return -ENOMEM;
		tracee->newborns[tracee->newborns_n++] = event.newborn;
		return 0;
	}
	if (answer && event.kind == EVENT_STOP && has_pending_trap(known)) {
		/* Run on, with no interrupt in the way, it stops for that at once. */
		known->trap_due = tracee_resume(tracee, known, 0) == 0;
		return 0;
	}
	if (answer && (event.kind == EVENT_STOP || event.kind == EVENT_GROUP_STOP))
		return 0;
	if (!known && event.kind == EVENT_STOP)
		return 0;
	return queue_noted(tracee, event.thread, status);
}

/* Looks once at every thread that is awaited. Returns how many still are, or -ENOMEM. */
static int collect(struct tracee *tracee)
{
	int awaited = 0;

	/* Backwards: a thread that turns out to be a forked process leaves the table. */
	for (u32 i = threads_count(tracee->threads); i-- > 0;) {
		struct thread *thread = threads_at(tracee->threads, i);
		pid_t tid = thread->tid;
		int status;

		if (!is_awaited(tracee, thread))
			continue;
		awaited++;
		if (tracee_poll(tid, &status) > 0 && keep(tracee, tid, status))
			return -ENOMEM;
	}
	return awaited;
}

int tracee_stop_all(struct tracee *tracee, struct err *err)
{
	struct timespec nap = {.tv_nsec = 20000};
	u64 start = clock_ns(), look = start + LOOK_AFTER_NS;
	int awaited;

	note_queued(tracee);
	look_at_stuck(tracee);
	for (;;) {
		interrupt_running(tracee);
		awaited = collect(tracee);
		if (awaited < 0)
			return err_set(err, ENOMEM, "out of memory");
		if (!awaited || clock_ns() - start > STOP_PATIENCE_NS)
			return 0;
		if (clock_ns() > look) {
			look_at_awaited(tracee, clock_ns() - start < STUCK_PATIENCE_NS);
			look = clock_ns() + LOOK_AFTER_NS;
		}
		/* They are quick, or they take long. */
		if (clock_ns() - start > 200000)
			nanosleep(&nap, NULL);
	}
}

void tracee_resume_all(struct tracee *tracee)
{
	for (u32 i = 0; i < threads_count(tracee->threads); i++)
		tracee_resume_one(tracee, threads_at(tracee->threads, i));
}

int tracee_hold(struct tracee *tracee, struct err *err)
{
	return tracee->holds++ ? 0 : tracee_stop_all(tracee, err);
}

void tracee_unhold(struct tracee *tracee, struct thread *except)
{
	if (--tracee->holds)
		return;
	if (except)
		except->state = THREAD_RUNNING;
	tracee_resume_all(tracee);
	if (except)
		except->state = THREAD_STOPPED;
}

#define STOP_ONE_PATIENCE_NS 100000000ULL

/* Interrupts thread and waits until it stands in a stop from which remote calls can be made. */
static bool stop_thread(struct tracee *tracee, struct thread *thread)
{
	u64 deadline = clock_ns() + STOP_ONE_PATIENCE_NS;
	int status;

	if (thread->state != THREAD_RUNNING || thread->in_vfork || thread->stuck ||
	    thread->own_process || thread->unborn || thread->has_status ||
	    pt(PTRACE_INTERRUPT, thread->tid, 0, 0))
		return false;
	thread->interrupted = true;
	while (thread->state != THREAD_STOPPED && clock_ns() < deadline) {
		if (tracee_poll(thread->tid, &status) <= 0)
			sched_yield();
		else if (keep(tracee, thread->tid, status))
			return false;
	}
	return thread->state == THREAD_STOPPED && !thread->has_status;
}

struct thread *tracee_stop_one(struct tracee *tracee)
{
	struct thread *thread = threads_find(tracee->threads, tracee->pid);

	if (thread && stop_thread(tracee, thread))
		return thread;
	for (u32 i = 0; i < threads_count(tracee->threads); i++) {
		thread = threads_at(tracee->threads, i);
		if (stop_thread(tracee, thread))
			return thread;
		tracee_resume_one(tracee, thread);
	}
	return NULL;
}

void tracee_resume_one(struct tracee *tracee, struct thread *thread)
{
	if (thread->state != THREAD_STOPPED || thread->has_status)
		return;
	if (tracee_get_regs(thread) == 0 && eintr_undo(thread))
		tracee_set_regs(thread);
	tracee_resume(tracee, thread, 0);
}

int tracee_step(struct tracee *tracee, struct thread *thread)
{
	struct tracee_event event;
	int status, ret;

	/* A signal that arrives is kept and the step is tried again: it is delivered later. */
	for (int tries = 0; tries < 8; tries++) {
		ret = pt(PTRACE_SINGLESTEP, thread->tid, 0, 0);
		if (ret)
			return ret;
		ret = pt_wait(thread->tid, &status);
		if (ret)
			return ret;
		tracee_note(tracee, thread->tid, status, &event);
		if (event.kind == EVENT_TRAP)
			return tracee_get_regs(thread);
		if (event.kind == EVENT_STOP)
			continue;
		if (queue_noted(tracee, thread, status))
			return -ENOMEM;
		return event.kind == EVENT_GONE || event.kind == EVENT_EXIT ? -ESRCH : -EAGAIN;
	}
	return -EAGAIN;
}

int tracee_options(pid_t tid, u64 extra)
{
	return pt(PTRACE_SETOPTIONS, tid, 0, TRACE_OPTIONS | extra);
}

void tracee_exec_done(struct tracee *tracee, struct thread *survivor, struct err *err)
{
	for (u32 i = threads_count(tracee->threads); i-- > 0;) {
		struct thread *thread = threads_at(tracee->threads, i);

		if (thread != survivor && !thread->own_process)
			threads_remove(tracee->threads, thread);
	}
	survivor->exiting = false;
	survivor->restarted_pc = 0;
	survivor->in_vfork = false;
	survivor->interrupted = false;
	survivor->group_stopped = false;
	/* The old descriptor still means the old address space. */
	proc_mem_close(&tracee->mem);
	proc_mem_open(&tracee->mem, tracee->pid, err);
}

void tracee_detach_thread(struct tracee *tracee, struct thread *thread, int sig)
{
	pt(PTRACE_DETACH, thread->tid, 0, (u64)sig);
	threads_remove(tracee->threads, thread);
}

int tracee_release(pid_t newborn)
{
	return pt(PTRACE_DETACH, newborn, 0, 0);
}

/* The signal that a kept stop was about to deliver. */
static int pending_signal(struct tracee *tracee, struct thread *thread)
{
	enum trace_event kind;

	if (!thread->has_status)
		return 0;
	kind = trace_event_decode(thread->status);
	if (kind != EVENT_SIGNAL && kind != EVENT_TRAP)
		return 0;
	if (kind == EVENT_SIGNAL)
		tracee_signal_fixup(tracee, thread, trace_event_signal(thread->status));
	return trace_event_signal(thread->status);
}

/*
 * A signal came after the stop, or with it, and its handler runs as soon as the
 * thread goes on. One for the whole process goes to its first thread if that can
 * take it (wants_signal in the kernel).
 */
static bool handler_awaits(const struct tracee *tracee, const struct thread *thread)
{
	struct proc_status status;
	u64 pending;

	if (proc_status_read(&status, thread->tid, NULL))
		return false;
	pending = status.sig_pending;
	if (thread->tid == tracee->pid)
		pending |= status.shared_pending;
	return pending & status.sig_caught & ~status.sig_blocked;
}

/*
 * The call that our stop interrupted goes on, unless a handler interrupts it, too.
 * A signal that comes later, but before the thread has a CPU, has its handler run
 * before the call instead. Detaching at the entry of the call would be no
 * better: detach itself sets TIF_SIGPENDING, and the call would return EINTR.
 */
static void restart_call(struct tracee *tracee, struct thread *thread)
{
	bool changed;

	if (tracee_get_regs(thread))
		return;
	changed = handler_awaits(tracee, thread) ? eintr_redo(thread) : eintr_undo(thread);
	if (changed)
		tracee_set_regs(thread);
}

/*
 * int3 in a thread that blocks SIGTRAP unblocks it (force_sig in the kernel).
 * Whether it was blocked cannot be asked afterwards. A thread that has SIGILL
 * and SIGABRT blocked has used sigfillset, and had SIGTRAP blocked, too, unless it
 * was seen with just this mask before.
 */
static void restore_mask(struct thread *thread)
{
	u64 signs = 1ULL << (SIGILL - 1) | 1ULL << (SIGABRT - 1);
	u64 trap = 1ULL << (SIGTRAP - 1);
	u64 mask;

	if (!thread->trapped ||
	    pt(PTRACE_GETSIGMASK, thread->tid, sizeof(mask), (u64)(uintptr_t)&mask) ||
	    (mask & trap) || mask == thread->mask_at_start)
		return;
	mask |= trap;
	if ((mask & signs) == signs || mask == thread->mask_at_start)
		pt(PTRACE_SETSIGMASK, thread->tid, sizeof(mask), (u64)(uintptr_t)&mask);
}

void tracee_detach(struct tracee *tracee)
{
	for (u32 i = threads_count(tracee->threads); i-- > 0;) {
		struct thread *thread = threads_at(tracee->threads, i);
		int sig;

		if (thread->state != THREAD_STOPPED)
			continue;
		sig = pending_signal(tracee, thread);
		if (!sig)
			restart_call(tracee, thread);
		restore_mask(thread);
		tracee_detach_thread(tracee, thread, sig);
	}
}

void tracee_detach_late(struct tracee *tracee)
{
	struct timespec nap = {.tv_nsec = 1000000};

	for (int tries = 0; tries < LATE_TRIES && threads_count(tracee->threads); tries++) {
		for (u32 i = threads_count(tracee->threads); i-- > 0;) {
			struct thread *thread = threads_at(tracee->threads, i);
			enum trace_event kind;
			int status = 0;

			/* Less than 0: it is no child of ours any more, and is forgotten. */
			if (tracee_poll(thread->tid, &status) == 0)
				continue;
			kind = trace_event_decode(status);
			tracee_detach_thread(tracee, thread,
					     kind == EVENT_SIGNAL ? trace_event_signal(status) : 0);
		}
		nanosleep(&nap, NULL);
	}
}
