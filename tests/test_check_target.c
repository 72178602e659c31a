// SPDX-License-Identifier: MIT
/* Who cannot be profiled, and why ptrace says no: each case with a process that is one. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/check_target.h"
#include "proc/exe.h"
#include "proc/explain_ptrace.h"
#include "proc/stat.h"
#include "tests/forked.h"
#include "tests/suites.h"

/* Any id but root's. */
#define NOBODY 65534

static void assert_refused(pid_t pid, int code, const char *words)
{
	struct err err = ERR_INIT;

	ck_assert_int_eq(proc_check_target(pid, &err), -code);
	ck_assert_int_eq(err.code, code);
	ck_assert_msg(strstr(err.msg, words) != NULL, "\"%s\" lacks \"%s\"", err.msg, words);
	ck_assert_ptr_null(strchr(err.msg, '\n'));
}

static void body_pause(struct forked_side *side)
{
	if (side->arg)
		prctl(PR_SET_NAME, side->arg);
	forked_pause(side);
}

START_TEST(a_plain_process_is_fine)
{
	struct err err = ERR_INIT;
	struct forked child;

	forked_start(&child, body_pause, NULL);
	forked_await(&child);
	ck_assert_msg(proc_check_target(child.pid, &err) == 0, "%s", err.msg);
	forked_end(&child);
	assert_refused(child.pid, ESRCH, "there is no process");
	assert_refused(0, ESRCH, "no process id");
	assert_refused(-5, ESRCH, "no process id");
}
END_TEST

START_TEST(itself)
{
	assert_refused(getpid(), EINVAL, "memattach itself");
}
END_TEST

START_TEST(a_kernel_thread)
{
	struct proc_stat stat;

	/* kthreadd, unless this is a container with processes of its own. */
	if (proc_stat_read(&stat, 2, NULL) != 0 || !(stat.flags & PROC_STAT_KTHREAD)) {
		fprintf(stderr, "skipped a_kernel_thread: PID 2 is none here\n");
		return;
	}
	assert_refused(2, EINVAL, "kernel thread");
}
END_TEST

START_TEST(a_zombie)
{
	/* A name that would break the line of a message, or the terminal. */
	static char name[] = "x\n\033[2Jy";
	struct forked child;

	forked_start(&child, body_pause, name);
	forked_await(&child);
	forked_go(&child);
	forked_await_zombie(&child);
	assert_refused(child.pid, ESRCH, "(x??[2Jy) is a zombie");
	forked_end(&child);
}
END_TEST

static void *thread_sends_tid(void *arg)
{
	forked_send(arg, gettid());
	pause();
	return NULL;
}

static void body_thread(struct forked_side *side)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_sends_tid, side) != 0)
		_exit(1);
	pthread_join(thread, NULL);
}

START_TEST(a_thread)
{
	struct forked child;
	char words[64];
	pid_t tid;

	forked_start(&child, body_thread, NULL);
	tid = forked_receive(&child);
	snprintf(words, sizeof(words), "PID %d is a thread of process %d", tid, child.pid);
	assert_refused(tid, EINVAL, words);
	snprintf(words, sizeof(words), "use -p %d", child.pid);
	assert_refused(tid, EINVAL, words);
	forked_end(&child);
}
END_TEST

static void *thread_outlives_leader(void *arg)
{
	pthread_t *leader = arg;

	pthread_join(*leader, NULL);
	pause();
	return NULL;
}

static void body_leader_ends(struct forked_side *side)
{
	pthread_t thread, self = pthread_self();

	(void)side;
	if (pthread_create(&thread, NULL, thread_outlives_leader, &self) != 0)
		_exit(1);
	pthread_exit(NULL);
}

START_TEST(a_process_whose_main_thread_has_ended)
{
	struct proc_stat stat;
	struct forked child;

	forked_start(&child, body_leader_ends, NULL);
	/* The kernel tells nobody of a leader's end while threads live: look until it is there. */
	do {
		ck_assert_int_eq(proc_stat_read(&stat, child.pid, NULL), 0);
		sched_yield();
	} while (stat.state != 'Z');
	assert_refused(child.pid, EINVAL, "main thread");
	forked_end(&child);
}
END_TEST

/* Traces the process or thread given, until it is ended. */
static void body_tracer(struct forked_side *side)
{
	pid_t tid = *(pid_t *)side->arg;

	prctl(PR_SET_NAME, "the-tracer");
	if (ptrace(PTRACE_SEIZE, tid, 0, 0) != 0)
		_exit(1);
	forked_pause(side);
}

static void assert_traced(pid_t pid, pid_t tid)
{
	struct forked tracer;
	char words[64];

	forked_start(&tracer, body_tracer, &tid);
	forked_await(&tracer);
	snprintf(words, sizeof(words), "already traced by process %d (the-tracer)", tracer.pid);
	assert_refused(pid, EBUSY, words);
	if (pid == tid) {
		struct err err = ERR_INIT;

		ck_assert_int_eq(proc_explain_ptrace(pid, EPERM, &err), -EPERM);
		ck_assert_ptr_nonnull(strstr(err.msg, words));
	}
	forked_end(&tracer);
}

START_TEST(a_process_that_is_traced)
{
	struct forked child;
	pid_t tid;

	forked_start(&child, body_thread, NULL);
	tid = forked_receive(&child);
	assert_traced(child.pid, child.pid);
	assert_traced(child.pid, tid);
	ck_assert_int_eq(proc_check_target(child.pid, NULL), 0);
	/* Traced by this process itself, as after starting a command: no obstacle. */
	ck_assert_int_eq(ptrace(PTRACE_SEIZE, child.pid, 0, 0), 0);
	ck_assert_int_eq(proc_check_target(child.pid, NULL), 0);
	forked_end(&child);
}
END_TEST

/* memattach, run under a debugger, is told to attach to that. */
static void body_checks_parent(struct forked_side *side)
{
	struct err err = ERR_INIT;

	forked_pause(side);
	forked_send(side, -proc_check_target(getppid(), &err));
	forked_send(side, strstr(err.msg, "traces memattach itself") != NULL);
	forked_pause(side);
}

START_TEST(the_tracer_of_memattach)
{
	struct forked child;

	forked_start(&child, body_checks_parent, NULL);
	forked_await(&child);
	ck_assert_int_eq(ptrace(PTRACE_SEIZE, child.pid, 0, 0), 0);
	forked_go(&child);
	ck_assert_int_eq(forked_receive(&child), EDEADLK);
	ck_assert_int_eq(forked_receive(&child), 1);
	forked_end(&child);
}
END_TEST

/* A whole 32-bit x86 program: pause(2) for ever. */
static const unsigned char program_i386[] = {
	0x7f, 'E',  'L',  'F',  1,    1,    1,    0,
	0,    0,    0,    0,    0,    0,    0,    0, /* class 32, little endian */
	2,    0,    3,    0,    1,    0,    0,    0, /* executable, i386 */
	0x54, 0x80, 0x04, 0x08,                      /* entry 0x8048054 */
	52,   0,    0,    0,    0,    0,    0,    0, /* program headers at 52, no sections */
	0,    0,    0,    0,    52,   0,    32,   0, /* flags, sizes */
	1,    0,    0,    0,    0,    0,    0,    0, /* one program header */
	1,    0,    0,    0,    0,    0,    0,    0, /* PT_LOAD from 0 */
	0,    0x80, 0x04, 0x08, 0,    0x80, 0x04, 0x08,
	0x5b, 0,    0,    0,    0x5b, 0,    0,    0, /* sizes */
	5,    0,    0,    0,    0,    0x10, 0,    0, /* r-x, alignment */
	0x6a, 29,   0x58, 0xcd, 0x80, 0xeb, 0xf9,    /* push 29; pop %eax; int $0x80; jmp */
};

static void body_exec(struct forked_side *side)
{
	fcntl(side->to, F_SETFD, FD_CLOEXEC);
	execl(side->arg, "program_i386", NULL);
	forked_send(side, errno);
}

START_TEST(a_32_bit_program)
{
	char dir[] = "/tmp/memattach-test-XXXXXX";
	struct forked child;
	char path[64];
	int fd, code = 0;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/program", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	ck_assert_int_eq(write(fd, program_i386, sizeof(program_i386)), sizeof(program_i386));
	close(fd);
	forked_start(&child, body_exec, path);
	/* End of file when the exec closes the pipe, a code when it fails. */
	if (read(child.from, &code, sizeof(code)) == 0)
		assert_refused(child.pid, ENOEXEC, "is a 32-bit x86 program");
	else
		fprintf(stderr, "skipped a_32_bit_program: cannot run one: %s\n", strerror(code));
	forked_end(&child);
	unlink(path);
	rmdir(dir);
}
END_TEST

START_TEST(kinds_of_programs)
{
	unsigned char header[20] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2MSB};
	struct exe_kind kind, ours;
	char text[64];

	header[19] = EM_PPC64;
	ck_assert_int_eq(exe_kind_parse(header, sizeof(header), &kind), 0);
	exe_kind_text(&kind, text, sizeof(text));
	ck_assert_str_eq(text, "64-bit PowerPC");
	header[EI_DATA] = ELFDATA2LSB;
	header[18] = EM_AARCH64;
	header[19] = 0;
	ck_assert_int_eq(exe_kind_parse(header, sizeof(header), &kind), 0);
	exe_kind_text(&kind, text, sizeof(text));
	ck_assert_str_eq(text, "64-bit ARM");
	header[EI_CLASS] = ELFCLASS32;
	header[18] = EM_X86_64;
	ck_assert_int_eq(exe_kind_parse(header, sizeof(header), &kind), 0);
	exe_kind_text(&kind, text, sizeof(text));
	ck_assert_str_eq(text, "32-bit x32");
	ck_assert_int_eq(exe_kind_read("/proc/self/exe", &ours), 0);
	ck_assert(exe_kind_equal(&ours, &ours));
	ck_assert(!exe_kind_equal(&ours, &kind));
	ck_assert_int_eq(exe_kind_parse(header, 19, &kind), -ENOEXEC);
	ck_assert_int_eq(exe_kind_read("/dev/null", &kind), -ENOEXEC);
	ck_assert_int_eq(exe_kind_read("/no/such/file", &kind), -ENOENT);
}
END_TEST

/* A user traces a process of his own, and nothing is in the way. */
static struct ptrace_facts innocent_facts(void)
{
	struct ptrace_facts facts = {.yama_scope = -1, .ns_reached = true, .proc_owner = 1000};

	facts.self.tgid = 50;
	facts.self.uid = facts.self.real_uid = facts.self.saved_uid = 1000;
	facts.self.gid = facts.self.real_gid = facts.self.saved_gid = 1000;
	facts.target = facts.self;
	facts.target.tgid = 60;
	return facts;
}

static void assert_explained(const struct ptrace_facts *facts, const char *words)
{
	char text[400];

	ptrace_facts_explain(facts, 60, text, sizeof(text));
	ck_assert_msg(strstr(text, words) != NULL, "\"%s\" lacks \"%s\"", text, words);
}

START_TEST(each_reason)
{
	struct ptrace_facts facts = innocent_facts();

	assert_explained(&facts, "security module");
	facts.self.seccomp = 2;
	assert_explained(&facts, "--cap-add SYS_PTRACE");
	facts.yama_scope = 0;
	assert_explained(&facts, "--cap-add SYS_PTRACE");
	facts.yama_scope = 1;
	assert_explained(&facts, "sysctl kernel.yama.ptrace_scope=0");
	facts.is_descendant = true;
	assert_explained(&facts, "--cap-add SYS_PTRACE");
	facts.yama_scope = 2;
	assert_explained(&facts, "only an administrator");
	assert_explained(&facts, "run memattach with sudo");
	facts.self.uid = 0;
	assert_explained(&facts, "give memattach CAP_SYS_PTRACE");
	facts.self.uid = 1000;
	facts.yama_scope = 3;
	assert_explained(&facts, "rebooted");
	facts.target.cap_permitted = 1 << CAP_NET_BIND_SERVICE;
	assert_explained(&facts, "capabilities that memattach has not (400)");
	facts.self.cap_permitted = 1 << CAP_NET_BIND_SERVICE;
	assert_explained(&facts, "rebooted");
	facts.proc_owner = 0;
	assert_explained(&facts, "not dumpable");
	facts.target.saved_gid = 7;
	assert_explained(&facts, "runs as user 1000, group 1000");
	facts.ns_reached = false;
	assert_explained(&facts, "another user namespace");
	facts.target.tracer = 77;
	strcpy(facts.tracer, "gdb");
	assert_explained(&facts, "already traced by process 77 (gdb)");
}
END_TEST

/* CAP_SYS_PTRACE takes away every reason but these. */
START_TEST(each_reason_with_the_capability)
{
	struct ptrace_facts facts = innocent_facts();

	facts.self.cap_effective = 1 << CAP_SYS_PTRACE;
	facts.target.uid = 0;
	facts.proc_owner = 0;
	facts.target.cap_permitted = UINT64_MAX;
	facts.yama_scope = 2;
	assert_explained(&facts, "security module");
	facts.yama_scope = 3;
	assert_explained(&facts, "rebooted");
	/* In another user namespace it is worth nothing. */
	facts.ns_reached = false;
	assert_explained(&facts, "another user namespace");
}
END_TEST

static void be_nobody(void)
{
	if (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
		_exit(1);
}

/* What memattach, run by nobody, says about the process given. */
static void body_explains_as_nobody(struct forked_side *side)
{
	const pid_t *pid = side->arg;
	struct err err = ERR_INIT;

	be_nobody();
	forked_send(side, ptrace(PTRACE_SEIZE, *pid, 0, 0) == 0 ? 0 : errno);
	proc_explain_ptrace(*pid, EPERM, &err);
	if (write(side->to, err.msg, sizeof(err.msg)) != sizeof(err.msg))
		_exit(1);
}

static void assert_nobody_hears(pid_t pid, const char *words)
{
	struct forked child;
	char msg[sizeof(((struct err *)0)->msg)];

	forked_start(&child, body_explains_as_nobody, &pid);
	ck_assert_int_eq(forked_receive(&child), EPERM);
	ck_assert_int_eq(read(child.from, msg, sizeof(msg)), sizeof(msg));
	ck_assert_msg(strstr(msg, words) != NULL, "\"%s\" lacks \"%s\"", msg, words);
	forked_end(&child);
}

static void body_nobody(struct forked_side *side)
{
	be_nobody();
	/* Changing the ids made it so already; this is what a program does that guards a secret. */
	prctl(PR_SET_DUMPABLE, 0);
	forked_pause(side);
}

START_TEST(real_refusals)
{
	struct forked root, nobody;

	if (geteuid() != 0) {
		fprintf(stderr, "skipped real_refusals: needs root to become somebody else\n");
		return;
	}
	forked_start(&root, body_pause, NULL);
	forked_await(&root);
	assert_nobody_hears(root.pid, "runs as user 0, group 0 and memattach as user 65534");
	forked_start(&nobody, body_nobody, NULL);
	forked_await(&nobody);
	assert_nobody_hears(nobody.pid, "not dumpable");
	forked_end(&nobody);
	forked_end(&root);
}
END_TEST

START_TEST(other_codes)
{
	struct err err = ERR_INIT;
	struct forked child;

	forked_start(&child, body_pause, NULL);
	forked_await(&child);
	ck_assert_int_eq(proc_explain_ptrace(child.pid, EIO, &err), -EIO);
	ck_assert_ptr_nonnull(strstr(err.msg, "Input/output error"));
	err_reset(&err);
	ck_assert_int_eq(proc_explain_ptrace(child.pid, ESRCH, &err), -ESRCH);
	ck_assert_ptr_nonnull(strstr(err.msg, "vanished"));
	forked_end(&child);
	err_reset(&err);
	ck_assert_int_eq(proc_explain_ptrace(child.pid, EPERM, &err), -EPERM);
	ck_assert_ptr_nonnull(strstr(err.msg, "vanished"));
}
END_TEST

Suite *check_target_suite(void)
{
	Suite *suite = suite_create("check_target");
	TCase *targets = tcase_create("targets"), *reasons = tcase_create("reasons");

	tcase_add_test(targets, a_plain_process_is_fine);
	tcase_add_test(targets, itself);
	tcase_add_test(targets, a_kernel_thread);
	tcase_add_test(targets, a_zombie);
	tcase_add_test(targets, a_thread);
	tcase_add_test(targets, a_process_whose_main_thread_has_ended);
	tcase_add_test(targets, a_process_that_is_traced);
	tcase_add_test(targets, the_tracer_of_memattach);
	tcase_add_test(targets, a_32_bit_program);
	tcase_add_test(targets, kinds_of_programs);
	suite_add_tcase(suite, targets);
	tcase_add_test(reasons, each_reason);
	tcase_add_test(reasons, each_reason_with_the_capability);
	tcase_add_test(reasons, real_refusals);
	tcase_add_test(reasons, other_codes);
	suite_add_tcase(suite, reasons);
	return suite;
}
