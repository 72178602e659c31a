// SPDX-License-Identifier: MIT
/*
 * One thread in each blocking system call. None may return before it is woken
 * or its time is over, and none with EINTR unless a handler of ours ran.
 *
 *	status		-> "returned CALLS eintr CALLS", of those that wait without a limit
 *	interrupt	every one of these gets a signal with a handler	-> "interrupted THREADS"
 *	nudge		the same until each has returned once	-> "nudged"
 *	ignored		every one gets signals that are ignored	-> "sent"
 *	timed		the threads with a time limit start again	-> "timed THREADS"
 *	finished	waits for these; their times must be right	-> "right"
 *	wake		ends all waits				-> "woken"
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "talk.h"

#define LIMIT_MS 1500

/* What the threads wait on: for ever in these, which nobody feeds before "wake". */
static int pipes[2], sockets[2], listener, epoll, semaphores, queue;
static unsigned int futex_word;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static volatile int waking;
static sigset_t wanted;

static int wait_read(void)
{
	char c;

	return read(pipes[0], &c, 1) == 1 ? 0 : errno;
}

static int wait_recv(void)
{
	char c;

	return recv(sockets[0], &c, 1, 0) == 1 ? 0 : errno;
}

static int wait_accept(void)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int wait_epoll(void)
{
	struct epoll_event event;

	return epoll_wait(epoll, &event, 1, -1) == 1 ? 0 : errno;
}

static int wait_epoll_pwait(void)
{
	struct epoll_event event;
	sigset_t none;

	sigemptyset(&none);
	return epoll_pwait(epoll, &event, 1, -1, &none) == 1 ? 0 : errno;
}

static int wait_poll(void)
{
	struct pollfd fd = {.fd = pipes[0], .events = POLLIN};

	return poll(&fd, 1, -1) == 1 ? 0 : errno;
}

static int wait_select(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pipes[0], &set);
	return select(pipes[0] + 1, &set, NULL, NULL, NULL) == 1 ? 0 : errno;
}

static int wait_futex(void)
{
	return syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, NULL) == 0 || errno == EAGAIN
		       ? 0
		       : errno;
}

static int wait_semop(void)
{
	struct sembuf down = {.sem_op = -1};

	return semop(semaphores, &down, 1) == 0 ? 0 : errno;
}

static int wait_msgrcv(void)
{
	struct {
		long type;
		char c;
	} message;

	return msgrcv(queue, &message, 1, 0, 0) == 1 ? 0 : errno;
}

static int wait_sigwaitinfo(void)
{
	return sigwaitinfo(&wanted, NULL) == SIGRTMIN + 5 ? 0 : errno;
}

static int wait_long_sleep(void)
{
	struct timespec hour = {.tv_sec = 3600};

	return nanosleep(&hour, NULL) == 0 ? 0 : errno;
}

/* These end by themselves after LIMIT_MS with the result in the table. */
static const struct timespec limit = {.tv_sec = LIMIT_MS / 1000,
				      .tv_nsec = LIMIT_MS % 1000 * 1000000};
static int never[2];

static int timed_nanosleep(void)
{
	return nanosleep(&limit, NULL) == 0 ? 0 : errno;
}

static int timed_clock_nanosleep(void)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += limit.tv_sec;
	end.tv_nsec += limit.tv_nsec;
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
}

static int timed_epoll(void)
{
	struct epoll_event event;

	return epoll_wait(epoll, &event, 1, LIMIT_MS) == 0 ? 0 : errno;
}

static int timed_poll(void)
{
	struct pollfd fd = {.fd = never[0], .events = POLLIN};

	return poll(&fd, 1, LIMIT_MS) == 0 ? 0 : errno;
}

static int timed_select(void)
{
	struct timeval time = {.tv_sec = LIMIT_MS / 1000, .tv_usec = LIMIT_MS % 1000 * 1000};

	return select(0, NULL, NULL, NULL, &time) == 0 ? 0 : errno;
}

static int timed_futex(void)
{
	static unsigned int word;

	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &limit) == 0 ? -1 : errno;
}

static int timed_semtimedop(void)
{
	struct sembuf down = {.sem_num = 1, .sem_op = -1};

	return semtimedop(semaphores, &down, 1, &limit) == 0 ? -1 : errno;
}

static int timed_sigtimedwait(void)
{
	return sigtimedwait(&wanted, NULL, &limit) > 0 ? -1 : errno;
}

/* A socket with a time limit is one of the calls that a stop makes fail with EINTR (signal(7)). */
static int timed_recv(void)
{
	struct timeval time = {.tv_sec = LIMIT_MS / 1000, .tv_usec = LIMIT_MS % 1000 * 1000};
	int fds[2], result;
	char c;

	socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
	setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
	result = recv(fds[0], &c, 1, 0) >= 0 ? -1 : errno;
	close(fds[0]);
	close(fds[1]);
	return result;
}

struct call {
	const char *name;
	int (*wait)(void);
	int result; /* of a timed one: 0 or an errno */
	long number;
	pthread_t thread;
	pid_t tid;
	long elapsed_ms; /* of a timed one */
	int got;
	long returns; /* of an endless one, with EINTR */
};

static struct call endless[] = {
	{"read", wait_read, 0, SYS_read, 0, 0, 0, 0, 0},
	{"recv", wait_recv, 0, SYS_recvfrom, 0, 0, 0, 0, 0},
	{"accept", wait_accept, 0, SYS_accept, 0, 0, 0, 0, 0},
	{"epoll_wait", wait_epoll, 0, SYS_epoll_wait, 0, 0, 0, 0, 0},
	{"epoll_pwait", wait_epoll_pwait, 0, SYS_epoll_pwait, 0, 0, 0, 0, 0},
	{"poll", wait_poll, 0, SYS_poll, 0, 0, 0, 0, 0},
	{"select", wait_select, 0, SYS_pselect6, 0, 0, 0, 0, 0},
	{"futex", wait_futex, 0, SYS_futex, 0, 0, 0, 0, 0},
	{"semop", wait_semop, 0, SYS_semtimedop, 0, 0, 0, 0, 0},
	{"msgrcv", wait_msgrcv, 0, SYS_msgrcv, 0, 0, 0, 0, 0},
	{"sigwaitinfo", wait_sigwaitinfo, 0, SYS_rt_sigtimedwait, 0, 0, 0, 0, 0},
	{"nanosleep", wait_long_sleep, 0, SYS_clock_nanosleep, 0, 0, 0, 0, 0},
};
#define ENDLESS (sizeof(endless) / sizeof(endless[0]))

static struct call timed[] = {
	{"nanosleep", timed_nanosleep, 0, SYS_clock_nanosleep, 0, 0, 0, 0, 0},
	{"clock_nanosleep", timed_clock_nanosleep, 0, SYS_clock_nanosleep, 0, 0, 0, 0, 0},
	{"epoll_wait", timed_epoll, 0, SYS_epoll_wait, 0, 0, 0, 0, 0},
	{"poll", timed_poll, 0, SYS_poll, 0, 0, 0, 0, 0},
	{"select", timed_select, 0, SYS_pselect6, 0, 0, 0, 0, 0},
	{"futex", timed_futex, ETIMEDOUT, SYS_futex, 0, 0, 0, 0, 0},
	{"semtimedop", timed_semtimedop, EAGAIN, SYS_semtimedop, 0, 0, 0, 0, 0},
	{"sigtimedwait", timed_sigtimedwait, EAGAIN, SYS_rt_sigtimedwait, 0, 0, 0, 0, 0},
	{"recv", timed_recv, EAGAIN, SYS_recvfrom, 0, 0, 0, 0, 0},
};
#define TIMED (sizeof(timed) / sizeof(timed[0]))

static long returned, interrupted, handled;

static void on_signal(int signal)
{
	(void)signal;
	__atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
}

static void enter(struct call *call)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	__atomic_store_n(&call->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
}

static void *wait_endlessly(void *arg)
{
	struct call *call = arg;

	enter(call);
	for (;;) {
		int error = call->wait();

		if (waking)
			return NULL;
		__atomic_fetch_add(&returned, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&call->returns, 1, __ATOMIC_RELAXED);
		if (error == EINTR)
			__atomic_fetch_add(&interrupted, 1, __ATOMIC_RELAXED);
		else
			hurt("%s returned with error %d (%s)", call->name, error, strerror(error));
	}
}

static void *wait_limited(void *arg)
{
	struct call *call = arg;
	struct timespec from, to;

	enter(call);
	clock_gettime(CLOCK_MONOTONIC, &from);
	call->got = call->wait();
	clock_gettime(CLOCK_MONOTONIC, &to);
	call->elapsed_ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
	return NULL;
}

/* After a stop the kernel makes some of them again under another number. */
static bool sits_in(const struct call *call, const char *text)
{
	long number = text[0] >= '0' && text[0] <= '9' ? atol(text) : -1;

	return number == call->number || number == SYS_restart_syscall;
}

/* Until the kernel says that the thread sits in its system call. */
static void await_call(const struct call *call)
{
	struct timespec pause = {.tv_nsec = 1000000};
	char path[64], text[64];

	for (;;) {
		pid_t tid = __atomic_load_n(&call->tid, __ATOMIC_ACQUIRE);
		ssize_t n = 0;
		int fd;

		if (tid) {
			snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			n = read(fd, text, sizeof(text) - 1);
			close(fd);
		}
		if (n > 0) {
			text[n] = '\0';
			if (sits_in(call, text))
				return;
		}
		nanosleep(&pause, NULL);
	}
}

static void start(struct call *calls, size_t n, void *(*wait)(void *))
{
	for (size_t i = 0; i < n; i++) {
		calls[i].tid = 0;
		if (pthread_create(&calls[i].thread, NULL, wait, &calls[i]) != 0)
			hurt("no thread");
	}
	for (size_t i = 0; i < n; i++)
		await_call(&calls[i]);
}

static void interrupt_all(void)
{
	struct timespec pause = {.tv_nsec = 1000000};
	static long sent;

	for (size_t i = 0; i < ENDLESS; i++, sent++)
		pthread_kill(endless[i].thread, SIGUSR1);
	/* Each handler runs, and each call returns. */
	while (__atomic_load_n(&handled, __ATOMIC_RELAXED) < sent ||
	       __atomic_load_n(&returned, __ATOMIC_RELAXED) < sent)
		nanosleep(&pause, NULL);
	for (size_t i = 0; i < ENDLESS; i++)
		await_call(&endless[i]);
	say("interrupted %ld", interrupted);
}

/*
 * The same in the moment of detach: a signal that comes while a thread is about
 * to make its call again runs its handler before the call, so it may take more
 * than one. What must not be is a return without a handler.
 */
static void nudge(void)
{
	struct timespec pause = {.tv_nsec = 20000000};

	for (size_t i = 0; i < ENDLESS; i++) {
		long before = __atomic_load_n(&endless[i].returns, __ATOMIC_RELAXED);

		while (__atomic_load_n(&endless[i].returns, __ATOMIC_RELAXED) == before) {
			pthread_kill(endless[i].thread, SIGUSR1);
			nanosleep(&pause, NULL);
		}
	}
	for (size_t i = 0; i < ENDLESS; i++)
		await_call(&endless[i]);
	if (returned > handled)
		hurt("%ld calls were interrupted by %ld handlers", returned, handled);
	say("nudged");
}

static void ignored_signals(void)
{
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < ENDLESS; i++) {
			pthread_kill(endless[i].thread, SIGWINCH);
			pthread_kill(endless[i].thread, SIGUSR2);
		}
	}
	say("sent");
}

static void finish_timed(void)
{
	for (size_t i = 0; i < TIMED; i++) {
		pthread_join(timed[i].thread, NULL);
		if (timed[i].got != timed[i].result)
			hurt("%s returned %d (%s)", timed[i].name, timed[i].got,
			     strerror(timed[i].got));
		if (timed[i].elapsed_ms < LIMIT_MS)
			hurt("%s ended after %ld ms", timed[i].name, timed[i].elapsed_ms);
	}
	say("right");
}

/*
 * Ends a wait that no data ended: by a signal, and by another one where the first one's handler
 * ran before the call was made again, as it can after a detach.
 */
static void wake_call(const struct call *call)
{
	const int signal = call->wait == wait_sigwaitinfo ? SIGRTMIN + 5 : SIGUSR1;
	struct timespec pause = {.tv_nsec = 1000000};

	do {
		pthread_kill(call->thread, signal);
		nanosleep(&pause, NULL);
	} while (pthread_tryjoin_np(call->thread, NULL) != 0);
}

static void wake(void)
{
	struct sembuf up = {.sem_op = 1};
	struct {
		long type;
		char c;
	} message = {1, 'x'};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	waking = 1;
	if (write(pipes[1], "x", 1) != 1 || write(sockets[1], "x", 1) != 1 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		hurt("cannot wake");
	futex_word = 1;
	syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, 100);
	semop(semaphores, &up, 1);
	msgsnd(queue, &message, 1, 0);
	for (size_t i = 0; i < ENDLESS; i++)
		wake_call(&endless[i]);
	close(fd);
	say("woken");
}

static void remove_ipc(void)
{
	semctl(semaphores, 0, IPC_RMID);
	msgctl(queue, IPC_RMID, NULL);
}

static void prepare(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct epoll_event event = {.events = EPOLLIN};

	/* Where permitted: semaphores and queues that go with the process, even when it is killed. */
	unshare(CLONE_NEWIPC);
	sigaction(SIGUSR1, &action, NULL);
	signal(SIGUSR2, SIG_IGN);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGRTMIN + 5);
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "memattach-test-%d",
		 (int)getpid());
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	epoll = epoll_create1(0);
	semaphores = semget(IPC_PRIVATE, 2, 0600);
	queue = msgget(IPC_PRIVATE, 0600);
	if (pipe(pipes) != 0 || pipe(never) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 1) != 0 || epoll < 0 || semaphores < 0 || queue < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, never[0], &event) != 0)
		hurt("cannot prepare: %s", strerror(errno));
}

int main(void)
{
	const char *line;

	prepare();
	start(endless, ENDLESS, wait_endlessly);
	say("ready");
	while ((line = hear())) {
		if (after(line, "status")) {
			say("returned %ld eintr %ld", returned, interrupted);
		} else if (after(line, "interrupt")) {
			interrupt_all();
		} else if (after(line, "nudge")) {
			nudge();
		} else if (after(line, "ignored")) {
			ignored_signals();
		} else if (after(line, "timed")) {
			start(timed, TIMED, wait_limited);
			say("timed %zu", TIMED);
		} else if (after(line, "finished")) {
			finish_timed();
		} else if (after(line, "wake")) {
			wake();
		}
	}
	waking = 1;
	remove_ipc();
	return 0;
}
