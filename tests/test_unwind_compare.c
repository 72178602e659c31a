// SPDX-License-Identifier: MIT
/*
 * The three back ends against each other, frame by frame, on a thread of a real
 * program that is stopped at random and then stepped through. Whenever libdw,
 * the reference, reaches the outermost frame, the tables must say the same.
 */
#include "tests/suites.h"
#include "tests/unwind_target.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include "unwind/code_shape.h"

#define STOPS      8
#define STEPS      1000
#define STEPS_EACH 10

struct counts {
	unsigned walks, whole, libdw_whole, libdw_same, libunwind_whole, libunwind_same;
	unsigned bare; /* of libdw_same: libdw has skipped the caller, see below */
	unsigned long frames;
};

static bool same(const struct stack *a, const struct stack *b)
{
	return a->n == b->n && !memcmp(a->pcs, b->pcs, a->n * sizeof(u64));
}

/*
 * On the first or last instruction of code without CFI (node's JIT) the frame
 * pointer is still, or again, the caller's, so that following it leaves the
 * caller out. The tables look at the instruction; libdw and libunwind do not.
 */
static bool skips_caller(const struct target *t, const struct stack *table,
			 const struct stack *other)
{
	return table->n == other->n + 1 && table->pcs[0] == other->pcs[0] &&
	       !memcmp(table->pcs + 2, other->pcs + 1, (other->n - 1) * sizeof(u64)) &&
	       code_has_bare_frame(&t->reader, table->pcs[0]);
}

/* Walks by all three and counts. Prints the first few stacks that differ. */
static void compare(struct target *t, struct counts *c)
{
	struct stack stacks[UNWIND_KINDS];
	const struct stack *table = &stacks[UNWIND_TABLE], *libdw = &stacks[UNWIND_LIBDW],
			   *libunwind = &stacks[UNWIND_LIBUNWIND];

	for (int k = 0; k < UNWIND_KINDS; k++)
		target_walk(t, (enum unwind_kind)k, t->pid, UNWIND_MAX_DEPTH, &stacks[k]);
	c->walks++;
	c->frames += table->n;
	c->whole += table->end == UNWIND_OUTERMOST;
	if (libdw->end == UNWIND_OUTERMOST) {
		bool bare = skips_caller(t, table, libdw);

		c->libdw_whole++;
		c->bare += bare;
		c->libdw_same += table->end == UNWIND_OUTERMOST && (bare || same(table, libdw));
	}
	if (libunwind->end == UNWIND_OUTERMOST && table->end == UNWIND_OUTERMOST) {
		c->libunwind_whole++;
		c->libunwind_same += same(table, libunwind) || skips_caller(t, table, libunwind);
	}
	if (libdw->end == UNWIND_OUTERMOST && !same(table, libdw) &&
	    !skips_caller(t, table, libdw) && c->libdw_whole - c->libdw_same < 4) {
		char *x = target_describe(t, table), *y = target_describe(t, libdw);

		printf("unwind_compare: tables: %s\n   libdw: %s\n", x, y);
		free(x);
		free(y);
	}
}

/* Lets the target run, then stops it wherever it is. */
static void run_and_stop(struct target *t, unsigned microseconds)
{
	const struct timespec some_time = {.tv_nsec = microseconds * 1000L};

	ck_assert_int_eq(ptrace(PTRACE_CONT, t->pid, 0, 0), 0);
	nanosleep(&some_time, NULL); /* no event is waited for: any moment will do */
	target_stop_thread(t, t->pid);
}

/* One instruction. Signals on the way are passed on. */
static void step(struct target *t)
{
	int status, signo = 0;

	do {
		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, t->pid, 0, signo), 0);
		ck_assert_int_eq(waitpid(t->pid, &status, __WALL), t->pid);
		ck_assert_msg(WIFSTOPPED(status), "the target ended: status %x", status);
		signo = status >> 16 ? 0 : WSTOPSIG(status);
	} while (signo != SIGTRAP);
}

/* feed, if any, gives the target work before each stop. */
static void compare_many(struct target *t, const char *name, int fd, const char *feed, size_t size,
			 double libunwind_share)
{
	struct counts c = {0};
	unsigned seed = 42;

	for (int i = 0; i < STOPS; i++) {
		if (feed && write(fd, feed, size) < 0)
			ck_assert_int_eq(errno, EAGAIN);
		run_and_stop(t, 500 + (unsigned)rand_r(&seed) % 20000);
		target_update(t);
		for (int s = 0; s < STEPS; s++) {
			if (s % STEPS_EACH == 0)
				compare(t, &c);
			step(t);
		}
	}
	printf("unwind_compare: %s: %u walks of %.1f frames; whole by tables %u, by libdw %u "
	       "(the same %u, but for a caller in %u); of those whole by libunwind, too, %u (the same %u)\n",
	       name, c.walks, (double)c.frames / c.walks, c.whole, c.libdw_whole, c.libdw_same,
	       c.bare, c.libunwind_whole, c.libunwind_same);
	fflush(stdout);
	ck_assert_uint_gt(c.libdw_whole, 0);
	ck_assert_uint_eq(c.libdw_same, c.libdw_whole);
	ck_assert_uint_ge(c.whole, c.libdw_whole);
	ck_assert_uint_gt(c.libunwind_whole, 0);
	ck_assert(c.libunwind_same >= libunwind_share * c.libunwind_whole);
}

static bool installed(const char *path)
{
	if (access(path, X_OK) == 0)
		return true;
	printf("unwind_compare: SKIPPED: %s is not installed\n", path);
	return false;
}

/* Stacks of a program that recurses, and says so with a byte once it is warm. */
static void compare_interpreter(char **argv, const char *name, double libunwind_share)
{
	struct target t;

	if (!installed(argv[0]))
		return;
	target_start(&t, argv);
	target_await(&t);
	target_stop_thread(&t, t.pid);
	target_open(&t);
	compare_many(&t, name, -1, NULL, 0, libunwind_share);
	target_end(&t);
}

START_TEST(python)
{
	static char script[] =
		"import json, re, sys\n"
		"def deep(n):\n"
		"    return deep(n - 1) if n else work()\n"
		"def work():\n"
		"    text = json.dumps({str(i): [i, {'a': 'b' * i}] for i in range(50)}, indent=1)\n"
		"    re.sub(r'(\\w+)\"', lambda m: m.group(1).upper(), text)\n"
		"    return sorted(json.loads(text), key=lambda s: hash(s) ^ 5)\n"
		"deep(10)\n"
		"sys.stdout.write('R'); sys.stdout.flush()\n"
		"while True: deep(10)\n";
	char *argv[] = {"/usr/bin/python3", "-c", script, NULL};

	compare_interpreter(argv, "python3", 0.98);
}
END_TEST

START_TEST(node)
{
	static char script[] =
		"function deep(n) { return n ? deep(n - 1) : work(); }\n"
		"function work() {\n"
		"  const o = {}; for (let i = 0; i < 50; i++) o['k' + i] = [i, 'b'.repeat(i)];\n"
		"  const s = JSON.stringify(o);\n"
		"  s.replace(/(\\w+)\"/g, (m, a) => a.toUpperCase());\n"
		"  return Object.keys(JSON.parse(s)).sort((a, b) => a < b ? 1 : -1); }\n"
		"for (let i = 0; i < 200; i++) deep(10);\n"
		"require('fs').writeSync(1, 'R');\n"
		"for (;;) deep(10);\n";
	char *argv[] = {"/usr/bin/node", "-e", script, NULL};

	compare_interpreter(argv, "node", 0.90);
}
END_TEST

/* A port that nobody listens on now. */
static int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	close(fd);
	return ntohs(address.sin_port);
}

/* Reads what redis-server logs until it accepts connections, then connects. */
static int connect_redis(const struct target *t, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static char log[65536];
	size_t n = 0;
	int fd;

	while (!strstr(log, "Ready to accept connections")) {
		ssize_t got = read(t->from, log + n, sizeof(log) - 1 - n);

		ck_assert_msg(got > 0, "redis-server did not start: %s", log);
		n += (size_t)got;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

START_TEST(redis)
{
	char port[8], *feed = NULL;
	char *argv[] = {
		"/usr/bin/redis-server", "--port", port, "--save", "", "--bind", "127.0.0.1",
		"--daemonize",           "no",     NULL};
	struct target t;
	size_t size;
	FILE *f;
	int fd;

	if (!installed(argv[0]))
		return;
	snprintf(port, sizeof(port), "%d", free_port());
	target_start(&t, argv);
	fd = connect_redis(&t, atoi(port));
	f = open_memstream(&feed, &size);
	/* Lua calls back into commands; SORT goes through libc. */
	for (int i = 0; i < 300; i++)
		fprintf(f,
			"SET key%d %d\r\nRPUSH list %d\r\nSORT list LIMIT 0 1\r\n"
			"EVAL \"for i=1,9 do redis.call('INCR','n') end return 1\" 0\r\n",
			i, i, i * 7 % 100);
	fclose(f);
	target_stop_thread(&t, t.pid);
	target_open(&t);
	compare_many(&t, "redis-server", fd, feed, size, 0.98);
	target_end(&t);
	free(feed);
	close(fd);
}
END_TEST

Suite *unwind_compare_suite(void)
{
	Suite *suite = suite_create("unwind_compare");
	TCase *tcase = tcase_create("programs");

	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, python);
	tcase_add_test(tcase, node);
	tcase_add_test(tcase, redis);
	suite_add_tcase(suite, tcase);
	return suite;
}
