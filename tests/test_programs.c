// SPDX-License-Identifier: MIT
/* Real programs, as they come from the distribution: named stacks, and they still work afterwards. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/capture_query.h"
#include "tests/put_file.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

/* A port that nobody listens on, on loopback. */
static int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}

/* Connects to the port on loopback, says something and returns the answer's beginning. */
static const char *converse(int port, const char *words)
{
	static char answer[4096];
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return "(refused)";
	}
	ck_assert_int_eq(write(fd, words, strlen(words)), (ssize_t)strlen(words));
	n = read(fd, answer, sizeof(answer) - 1);
	answer[n > 0 ? n : 0] = '\0';
	close(fd);
	return answer;
}

/* Live bytes whose stack is whole, as a share of all live bytes. */
static double share_of_whole_stacks(json_t *capture)
{
	double live = 0, whole = 0;
	json_t *site;
	size_t i;

	json_array_foreach(json_object_get(capture_last(capture), "sites"), i, site)
	{
		double bytes = (double)json_integer_value(json_object_get(site, "live_bytes"));

		live += bytes;
		if (!capture_cut(capture,
				 (size_t)json_integer_value(json_object_get(site, "stack"))))
			whole += bytes;
	}
	return live > 0 ? whole / live : 0;
}

static void start_redis(struct target *redis, const char *dir, int port)
{
	target_run(redis,
		   WORDS("redis-server", "--port", number_of(port), "--bind", "127.0.0.1", "--save",
			 "", "--daemonize", "no", "--dir", dir),
		   NULL);
	if (!lines_until(&redis->from, "Ready to accept connections"))
		ck_abort_msg("redis-server did not start: %s", redis->from.text);
}

START_TEST(redis_under_load)
{
	char dir[] = "/tmp/memattach-test-XXXXXX", requests[] = "5000";
	struct target redis, benchmark;
	struct memattach m;
	json_t *capture;
	int port = free_port();

	ck_assert_ptr_nonnull(mkdtemp(dir));
	start_redis(&redis, dir, port);
	memattach_attach(&m, redis.pid, NULL);
	target_run(&benchmark,
		   WORDS("redis-benchmark", "-p", number_of(port), "-n", requests, "-t",
			 "set,lpush,hset", "-r", "100000", "-d", "200", "-c", "20", "-q"),
		   NULL);
	lines_drain(&benchmark.from, NULL);
	ck_assert_int_eq(wait_end(benchmark.pid), 0);
	target_leave(&benchmark);
	capture = memattach_stop_and_read(&m);
	ck_assert_int_gt(capture_total(capture, "live_bytes"), 1000000);
	ck_assert_double_gt(capture_share_through(capture, "main"), 0.99);
	ck_assert_double_gt(capture_share_through(capture, "setCommand"), 0.05);
	ck_assert_double_gt(share_of_whole_stacks(capture), 0.99);
	json_decref(capture);
	memattach_cleanup(&m);
	ck_assert_str_eq(converse(port, "PING\r\n"), "+PONG\r\n");
	assert_untraced(redis.pid);
	kill(redis.pid, SIGTERM);
	ck_assert_int_eq(wait_end(redis.pid), 0);
	target_leave(&redis);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(sqlite)
{
	struct target sqlite;
	struct memattach m;
	json_t *capture;

	target_run(&sqlite, WORDS("sqlite3", "-batch"), NULL);
	target_say(&sqlite, "create table t(n integer primary key, s text); select 'ready';");
	target_expect(&sqlite, "ready");
	memattach_attach(&m, sqlite.pid, NULL);
	target_say(&sqlite, "with recursive c(n) as (select 1 union all select n + 1 from c where "
			    "n < 2000) insert into t select n, hex(randomblob(200)) from c;");
	target_say(&sqlite, "select count(*), sum(n) from t;");
	target_expect(&sqlite, "2000|2001000");
	capture = memattach_stop_and_read(&m);
	ck_assert_int_gt(capture_total(capture, "live_bytes"), 500000);
	/* Its own functions are stripped, main too. */
	ck_assert_double_gt(capture_share_through(capture, "__libc_start_main"), 0.99);
	ck_assert_double_gt(share_of_whole_stacks(capture), 0.99);
	ck_assert_double_gt(capture_share_through(capture, "sqlite3_step"), 0.9);
	json_decref(capture);
	memattach_cleanup(&m);
	target_say(&sqlite, "select sum(length(s)) from t;");
	target_expect(&sqlite, "800000");
	target_end(&sqlite);
}
END_TEST

START_TEST(python)
{
	static const char script[] = "import sys\n"
				     "print('ready', flush=True)\n"
				     "for line in sys.stdin:\n"
				     "    exec(line)\n"
				     "    print('ok', flush=True)\n";
	struct target python;
	struct memattach m;
	struct figures sum;
	json_t *capture;

	target_run(&python, WORDS("/usr/bin/python3", "-c", script), WORDS("PYTHONMALLOC=malloc"));
	target_expect(&python, "ready");
	memattach_attach(&m, python.pid, NULL);
	target_ask(&python, "kept = [bytearray(10000 + i) for i in range(300)]", "ok");
	target_ask(&python, "for i in range(2000): bytearray(1234)", "ok");
	capture = memattach_snapshot_and_read(&m);
	ck_assert_int_ge(capture_total(capture, "live_bytes"), 3000000);
	ck_assert_double_gt(capture_share_through(capture, "Py_BytesMain"), 0.99);
	ck_assert_double_gt(capture_share_through(capture, "PyByteArray_Resize"), 0.9);
	ck_assert(capture_site(capture, "PyByteArray_Resize", 4, &sum));
	ck_assert_int_ge(sum.allocations, 2300);
	json_decref(capture);
	target_ask(&python, "del kept", "ok");
	capture = memattach_stop_and_read(&m);
	ck_assert_int_lt(capture_total(capture, "live_bytes"), 1000000);
	json_decref(capture);
	memattach_cleanup(&m);
	target_ask(&python, "assert sum(range(1000)) == 499500", "ok");
	target_end(&python);
}
END_TEST

/* From the first instruction to the last, as `memattach -- python3 ...`. */
START_TEST(python_launched)
{
	struct memattach m;
	json_t *capture;

	setenv("PYTHONMALLOC", "malloc", 1);
	memattach_launch(&m, NULL,
			 WORDS("/usr/bin/python3", "-S", "-c",
			       "print(sum(len(str(i)) for i in range(1000)))"));
	unsetenv("PYTHONMALLOC");
	memattach_expect_exit(&m, 0);
	ck_assert_str_eq(memattach_out(&m), "2890\n");
	capture = memattach_capture(&m);
	ck_assert_int_gt(capture_total(capture, "total_allocations"), 5000);
	/* Everything that is freed was seen when it was allocated. */
	ck_assert_int_eq(capture_total(capture, "unknown_frees"), 0);
	ck_assert_int_eq(capture_total(capture, "replaced"), 0);
	json_decref(capture);
	memattach_cleanup(&m);
}
END_TEST

START_TEST(cpp_program)
{
	struct target target;
	struct memattach m;
	json_t *capture;

	target_start(&target, WORDS("leak_cpp"), NULL);
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "add 1000", "sessions 1000");
	capture = memattach_stop_and_read(&m);
	ck_assert_double_gt(capture_share_through(capture, "shop::server::open_session"), 0.99);
	ck_assert_double_gt(capture_share_through(capture, "main"), 0.99);
	/* Per session a node, two long strings, the object and its history of 50 integers. */
	ck_assert_int_ge(capture_total(capture, "live_blocks"), 4000);
	ck_assert_int_ge(capture_total(capture, "live_bytes"), 300000);
	json_decref(capture);
	memattach_cleanup(&m);
	target_ask(&target, "add 1", "sessions 1001");
	target_end(&target);
}
END_TEST

/* The first child of a process; 0: none yet. */
static pid_t child_of(pid_t pid)
{
	char path[64];
	int child = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%d", &child) != 1)
		child = 0;
	if (f)
		fclose(f);
	return child;
}

static pid_t start_nginx(struct target *nginx, const char *dir, int port)
{
	char conf[1024];
	const char *answer;

	snprintf(conf, sizeof(conf),
		 "daemon off; worker_processes 1; pid %s/pid; error_log %s/log;\n"
		 "events { worker_connections 64; }\n"
		 "http { access_log off; client_body_temp_path %s; proxy_temp_path %s; "
		 "fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;\n"
		 "server { listen 127.0.0.1:%d; location / { return 200 'well'; } } }\n",
		 dir, dir, dir, dir, dir, dir, dir, port);
	put_file(dir, "conf", conf);
	target_run(nginx, WORDS("/usr/sbin/nginx", "-p", dir, "-c", "conf", "-e", "log"), NULL);
	/* Until it answers. */
	do
		answer = converse(port, "GET / HTTP/1.0\r\n\r\n");
	while (strcmp(answer, "(refused)") == 0 && kill(nginx->pid, 0) == 0);
	ck_assert_msg(strstr(answer, "200 OK"), "nginx says: %s", answer);
	return child_of(nginx->pid);
}

/* Its first child once that is another one than old, which has ended but may not be waited for yet. */
static pid_t next_child(pid_t pid, pid_t old)
{
	struct timespec pause = {.tv_nsec = 1000000};

	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		pid_t child = child_of(pid);

		if (child && child != old)
			return child;
		nanosleep(&pause, NULL);
	}
	ck_abort_msg("process %d has no new child", (int)pid);
	return 0;
}

static void remove_dir(const char *dir)
{
	pid_t pid = spawn(&(struct spawn){.argv = WORDS("rm", "-rf", dir)});

	ck_assert_int_eq(wait_end(pid), 0);
}

/* A master and its worker, with memattach at each in turn. */
START_TEST(nginx_master_and_worker)
{
	char dir[] = "/tmp/memattach-test-XXXXXX";
	struct target nginx;
	struct memattach m;
	json_t *capture;
	pid_t worker, next;
	int port = free_port();

	ck_assert_ptr_nonnull(mkdtemp(dir));
	chmod(dir, 0755);
	worker = start_nginx(&nginx, dir, port);
	memattach_attach(&m, worker, NULL);
	for (int i = 0; i < 50; i++)
		ck_assert_ptr_nonnull(strstr(converse(port, "GET / HTTP/1.0\r\n\r\n"), "well"));
	capture = memattach_stop_and_read(&m);
	ck_assert_int_ge(capture_total(capture, "total_allocations"), 50);
	json_decref(capture);
	memattach_cleanup(&m);
	ck_assert_ptr_nonnull(strstr(converse(port, "GET / HTTP/1.0\r\n\r\n"), "well"));

	/* The master makes a new worker while it is traced: that one is free and works. */
	memattach_attach(&m, nginx.pid, NULL);
	kill(nginx.pid, SIGHUP);
	wait_gone(worker);
	ck_assert_ptr_nonnull(strstr(converse(port, "GET / HTTP/1.0\r\n\r\n"), "well"));
	next = next_child(nginx.pid, worker);
	assert_untraced(next);
	capture = memattach_stop_and_read(&m);
	ck_assert_int_gt(capture_total(capture, "total_allocations"), 10);
	ck_assert_double_gt(share_of_whole_stacks(capture), 0.99);
	json_decref(capture);
	memattach_cleanup(&m);
	kill(nginx.pid, SIGTERM);
	ck_assert_int_eq(wait_end(nginx.pid), 0);
	target_leave(&nginx);
	remove_dir(dir);
}
END_TEST

Suite *programs_suite(void)
{
	Suite *suite = suite_create("programs");
	TCase *tcase = tcase_create("programs");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, redis_under_load);
	tcase_add_test(tcase, sqlite);
	tcase_add_test(tcase, python);
	tcase_add_test(tcase, python_launched);
	tcase_add_test(tcase, cpp_program);
	tcase_add_test(tcase, nginx_master_and_worker);
	suite_add_tcase(suite, tcase);
	return suite;
}
