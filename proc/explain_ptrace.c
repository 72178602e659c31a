// SPDX-License-Identifier: MIT
/*
 * Why was ptrace refused? The kernel says EPERM and no more. It asks, in this
 * order (kernel/ptrace.c __ptrace_may_access, security/yama, commoncap):
 *
 *	1. are the target's real, effective and saved ids all ours,
 *	   or have we CAP_SYS_PTRACE in its user namespace?
 *	2. is it dumpable, or have we CAP_SYS_PTRACE?
 *	3. Yama: 1 wants a descendant or CAP_SYS_PTRACE, 2 wants CAP_SYS_PTRACE, 3 says no
 *	4. are its permitted capabilities among ours, or have we CAP_SYS_PTRACE?
 *	5. has it a tracer already?
 *
 * A container's seccomp filter may refuse before all that. Each answer is read
 * from /proc, and the first that is a "no" is the reason given. Only the tracer
 * comes first: it is a fact, and no other change would help.
 */
#include "proc/explain_ptrace.h"

#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc/check_target.h"
#include "proc/scan.h"
#include "proc/slurp.h"

/* Parents are followed so far: deeper trees do not occur, and a loop cannot hang us. */
#define ANCESTORS_MAX 256

#define SECCOMP_FILTER 2

static int read_yama_scope(void)
{
	char text[16];
	ssize_t len = slurp_path("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text));
	struct scan s = {.p = text, .end = text + (len > 0 ? len : 0)};
	u64 scope;

	return scan_u64(&s, 10, &scope) && scope <= 3 ? (int)scope : -1;
}

/* The mapping of a process in the initial user namespace: every id to itself. */
static bool is_initial_ns(const char *uid_map)
{
	struct scan s = {.p = uid_map, .end = uid_map + strlen(uid_map)};
	u64 inside, outside, count;

	return scan_u64(&s, 10, &inside) && scan_u64(&s, 10, &outside) &&
	       scan_u64(&s, 10, &count) && inside == 0 && outside == 0 && count == UINT32_MAX;
}

/*
 * A capability counts in the user namespace that it was given in and in those
 * below. /proc/PID/ns/user can only be seen by who may trace the process; the
 * mapping of its ids by everybody, and it differs between most namespaces.
 * True also when it cannot be told.
 */
static bool is_ns_reached(pid_t pid)
{
	char path[40], ours[512], theirs[512];
	struct stat a, b;

	if (slurp_path("/proc/self/uid_map", ours, sizeof(ours)) <= 0 || is_initial_ns(ours))
		return true;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	if (stat(path, &a) == 0 && stat("/proc/self/ns/user", &b) == 0)
		return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	return slurp_path(path, theirs, sizeof(theirs)) <= 0 || strcmp(ours, theirs) == 0;
}

static bool is_descendant(const struct proc_status *target, pid_t of)
{
	struct proc_status status = *target;

	for (int i = 0; i < ANCESTORS_MAX && status.ppid > 0; i++) {
		if (status.ppid == of)
			return true;
		if (proc_status_read(&status, status.ppid, NULL) != 0)
			return false;
	}
	return false;
}

int ptrace_facts_read(struct ptrace_facts *facts, pid_t pid)
{
	struct proc_status tracer;
	char path[32];
	struct stat st;
	int rc;

	memset(facts, 0, sizeof(*facts));
	rc = proc_status_read(&facts->target, pid, NULL);
	if (rc == 0)
		rc = proc_status_read(&facts->self, getpid(), NULL);
	if (rc != 0)
		return rc;
	/* The directory itself always has the process's own id; what is in it, only if dumpable. */
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	facts->proc_owner = stat(path, &st) == 0 ? st.st_uid : facts->target.uid;
	facts->yama_scope = read_yama_scope();
	facts->ns_reached = is_ns_reached(pid);
	facts->is_descendant = is_descendant(&facts->target, getpid());
	if (facts->target.tracer && proc_status_read(&tracer, facts->target.tracer, NULL) == 0)
		memcpy(facts->tracer, tracer.name, sizeof(facts->tracer));
	for (char *p = facts->tracer; *p; p++) {
		if (!isprint((unsigned char)*p))
			*p = '?';
	}
	return 0;
}

static bool has_cap_sys_ptrace(const struct ptrace_facts *facts)
{
	return facts->ns_reached && (facts->self.cap_effective >> CAP_SYS_PTRACE & 1);
}

static bool ids_match(const struct proc_status *self, const struct proc_status *target)
{
	u32 uid = self->real_uid, gid = self->real_gid;

	return target->real_uid == uid && target->uid == uid && target->saved_uid == uid &&
	       target->real_gid == gid && target->gid == gid && target->saved_gid == gid;
}

/* How to come by CAP_SYS_PTRACE. Root without it is root of a container. */
static const char *remedy(const struct ptrace_facts *facts)
{
	if (facts->self.uid == 0)
		return "give memattach CAP_SYS_PTRACE, in a container with \"docker run --cap-add "
		       "SYS_PTRACE\"";
	return "run memattach with sudo";
}

/* Credentials, dumpable, capabilities: the reason in text, or false if it is none of them. */
static bool explain_credentials(const struct ptrace_facts *facts, pid_t pid, char *text,
				size_t size)
{
	const struct proc_status *self = &facts->self, *target = &facts->target;

	if (!ids_match(self, target)) {
		snprintf(text, size,
			 "process %d runs as user %u, group %u and memattach as user %u, group %u "
			 "without CAP_SYS_PTRACE: %s",
			 (int)pid, target->uid, target->gid, self->real_uid, self->real_gid,
			 remedy(facts));
	} else if (facts->proc_owner != target->uid) {
		snprintf(text, size,
			 "process %d is protected (not dumpable: it gave up privileges or asked "
			 "for it with prctl): %s",
			 (int)pid, remedy(facts));
	} else if (target->cap_permitted & ~self->cap_permitted) {
		snprintf(text, size,
			 "process %d has capabilities that memattach has not (%llx): %s", (int)pid,
			 (unsigned long long)(target->cap_permitted & ~self->cap_permitted),
			 remedy(facts));
	} else {
		return false;
	}
	return true;
}

static bool explain_yama(const struct ptrace_facts *facts, pid_t pid, char *text, size_t size)
{
	bool may = has_cap_sys_ptrace(facts);

	if (facts->yama_scope == 3) {
		snprintf(text, size,
			 "tracing is switched off on this machine until it is rebooted "
			 "(/proc/sys/kernel/yama/ptrace_scope is 3)");
	} else if (facts->yama_scope == 2 && !may) {
		snprintf(
			text, size,
			"only an administrator may trace (/proc/sys/kernel/yama/ptrace_scope is 2): %s",
			remedy(facts));
	} else if (facts->yama_scope == 1 && !may && !facts->is_descendant) {
		snprintf(
			text, size,
			"process %d was not started by memattach "
			"(/proc/sys/kernel/yama/ptrace_scope is 1): %s, or allow it with \"sudo sysctl "
			"kernel.yama.ptrace_scope=0\"",
			(int)pid, remedy(facts));
	} else {
		return false;
	}
	return true;
}

void ptrace_facts_explain(const struct ptrace_facts *facts, pid_t pid, char *text, size_t size)
{
	bool may = has_cap_sys_ptrace(facts);

	if (facts->target.tracer && facts->target.tracer != facts->self.tgid) {
		snprintf(
			text, size,
			"it is already traced by process %d (%s), and Linux allows one tracer: end "
			"that one or detach it first",
			(int)facts->target.tracer, facts->tracer[0] ? facts->tracer : "unknown");
	} else if (!facts->ns_reached) {
		snprintf(text, size,
			 "process %d lives in another user namespace (a container): run memattach "
			 "as root of the host, or inside that container",
			 (int)pid);
	} else if (!may && explain_credentials(facts, pid, text, size)) {
		return;
	} else if (explain_yama(facts, pid, text, size)) {
		return;
	} else if (facts->self.seccomp == SECCOMP_FILTER) {
		snprintf(
			text, size,
			"memattach runs under a seccomp filter, as in a container: start that with "
			"\"docker run --cap-add SYS_PTRACE\", or run memattach on the host");
	} else {
		snprintf(text, size,
			 "the reason does not show in /proc: a security module (SELinux, AppArmor) "
			 "or a tracer outside this container");
	}
}

int proc_explain_ptrace(pid_t pid, int code, struct err *err)
{
	struct ptrace_facts facts;
	char text[400];

	if (code == ESRCH || ptrace_facts_read(&facts, pid) == -ESRCH)
		return err_set(err, code, "process %d vanished while memattach attached to it",
			       (int)pid);
	if (code != EPERM && code != EACCES)
		return err_sys(err, code, "cannot attach to process %d", (int)pid);
	ptrace_facts_explain(&facts, pid, text, sizeof(text));
	return err_set(err, code, "cannot attach to process %d: %s", (int)pid, text);
}
