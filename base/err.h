/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_ERR_H
#define MEMATTACH_BASE_ERR_H

/*
 * Errors are values that travel up. A function that can fail returns 0 or
 * -errno and fills the caller's struct err, its last parameter, which may be
 * NULL where only the code matters. Only memattach.c prints one.
 */
struct err {
	int code; /* positive errno of the first failure, 0: none so far */
	char msg[512];
};

#define ERR_INIT                                                                                   \
	{                                                                                          \
		0, ""                                                                              \
	}

/*
 * Records a failure and returns -code. The message is what was tried, why it
 * failed and what to do; no newline at its end. If err already holds a failure
 * that one is kept: the first one is the cause. err may be NULL.
 */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Like err_set, and appends ": " and the system's text for code. */
int err_sys(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Forgets what err holds, so that it can be used again. */
void err_reset(struct err *err);

#endif
