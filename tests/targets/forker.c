// SPDX-License-Identifier: MIT
/*
 * Makes processes in every way, while the workers of the engine may run. The
 * children check that nothing of memattach is left in them.
 *
 *	fork		a child allocates a million times	-> "forked"
 *	forks		16 threads fork at once			-> "forked"
 *	vfork		a vfork child that allocates and execs	-> "vforked"
 *	spawn		posix_spawn and system()		-> "spawned"
 *	clone		a process that shares our memory allocates -> "cloned"
 *	daemon		a child's child stays, and says so	-> "daemon PID"
 *	exec		another image, which says "ready"
 *	exec_thread	the same from a thread that is not the first
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine.h"
#include "talk.h"

extern char **environ;

NOINLINE static void *site_plain_a(size_t size, size_t *asked)
{
	void *p = malloc(*asked = size);

	KEEP(p);
	return p;
}

NOINLINE static void *site_plain_b(size_t size, size_t *asked)
{
	void *p = calloc(1, *asked = size);

	KEEP(p);
	return p;
}

const struct kind engine_kinds[] = {
	{{"site_plain_a", "site_plain_b"},
	 TRUTH_DIRECT,
	 {site_plain_a, site_plain_b},
	 {NULL, NULL},
	 NULL,
	 true},
	{.names = {NULL}},
};

#define KEPT 64
static struct truth_block kept[KEPT];
static int kept_n;
static char **arguments;

NOINLINE static void *site_child(size_t size)
{
	void *p = malloc(size);

	KEEP(p);
	return p;
}

NOINLINE static void *site_vfork(size_t size)
{
	void *p = malloc(size);

	KEEP(p);
	return p;
}

NOINLINE static void *site_clone(size_t size)
{
	void *p = malloc(size);

	KEEP(p);
	return p;
}

static int traced(void)
{
	char line[256];
	int pid = -1;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "TracerPid: %d", &pid);
	if (f)
		fclose(f);
	return pid;
}

/* In a child: no tracer, no breakpoint, and all works. Returns an exit status. */
static int check_child(long allocations)
{
	static const char *const names[] = {"malloc", "free", "calloc", "realloc"};

	if (traced() != 0)
		return 10;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const unsigned char *code = dlsym(RTLD_DEFAULT, names[i]);

		if (!code || code[0] == 0xcc)
			return 11;
	}
	for (long i = 0; i < allocations; i++) {
		char *p = site_child((size_t)(i % 1000 + 1));

		if (!p)
			return 12;
		p[0] = 1;
		free(p);
	}
	return 0;
}

static void await_child(pid_t pid, const char *what)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		hurt("%s: no child", what);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		hurt("%s: the child ended with wait status %#x", what, (unsigned int)status);
}

static void fork_one(long allocations)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(check_child(allocations));
	await_child(pid, "fork");
}

static void *fork_thread(void *arg)
{
	fork_one(1000);
	return arg;
}

static void fork_many(void)
{
	pthread_t threads[16];

	for (int i = 0; i < 16; i++)
		if (pthread_create(&threads[i], NULL, fork_thread, NULL) != 0)
			hurt("no thread");
	for (int i = 0; i < 16; i++)
		pthread_join(threads[i], NULL);
}

/* A block that a child made in our memory is ours. */
static void keep(const char *site, void *p, size_t size)
{
	truth_allocated(&kept[kept_n++ % KEPT], truth_site(site, TRUTH_DIRECT), p, size);
}

static void vfork_one(void)
{
	char *argv[] = {"true", NULL};
	void *volatile made = NULL;
	pid_t pid = vfork();

	if (pid == 0) {
		made = site_vfork(123);
		execv("/bin/true", argv);
		_exit(13);
	}
	await_child(pid, "vfork");
	keep("site_vfork", made, 123);
}

static void spawn_one(void)
{
	char *argv[] = {"true", NULL};
	pid_t pid;

	if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0)
		hurt("posix_spawn failed");
	await_child(pid, "posix_spawn");
	if (system("exit 7") != 7 << 8)
		hurt("system failed");
}

static void *clone_made[8];

static int clone_main(void *arg)
{
	for (int i = 0; i < 8; i++)
		clone_made[i] = site_clone(1000);
	return arg != NULL;
}

/* The parent waits, so the two never allocate at the same time with the same thread's cache. */
static void clone_one(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t pid = clone(clone_main, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);

	await_child(pid, "clone");
	for (int i = 0; i < 8; i++)
		keep("site_clone", clone_made[i], 1000);
}

static void daemon_one(void)
{
	int fds[2], status;
	char line[32] = "";
	pid_t pid;

	if (pipe(fds) != 0)
		hurt("no pipe");
	pid = fork();
	if (pid == 0) {
		if (daemon(1, 1) != 0)
			_exit(14);
		status = check_child(100000);
		snprintf(line, sizeof(line), "%d", status ? -status : (int)getpid());
		if (write(fds[1], line, sizeof(line)) < 0)
			_exit(15);
		_exit(status);
	}
	await_child(pid, "daemon");
	if (read(fds[0], line, sizeof(line)) <= 0 || atoi(line) <= 0)
		hurt("the daemon was hurt: %s", line);
	close(fds[0]);
	close(fds[1]);
	say("daemon %s", line);
}

static void *exec_again(void *arg)
{
	execv("/proc/self/exe", arguments);
	hurt("exec failed");
	return arg;
}

bool engine_command(const char *line)
{
	pthread_t thread;

	if (after(line, "fork")) {
		fork_one(1000000);
		say("forked");
	} else if (after(line, "forks")) {
		fork_many();
		say("forked");
	} else if (after(line, "vfork")) {
		vfork_one();
		say("vforked");
	} else if (after(line, "spawn")) {
		spawn_one();
		say("spawned");
	} else if (after(line, "clone")) {
		clone_one();
		say("cloned");
	} else if (after(line, "daemon")) {
		daemon_one();
	} else if (after(line, "exec")) {
		exec_again(NULL);
	} else if (after(line, "exec_thread")) {
		if (pthread_create(&thread, NULL, exec_again, NULL) == 0)
			pthread_join(thread, NULL);
		hurt("exec came back");
	} else {
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	arguments = argv;
	return engine_main(argc, argv);
}
