/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_CAPTURE_SAMPLE_H
#define MEMATTACH_TESTS_CAPTURE_SAMPLE_H

#include "report/capture.h"

/*
 * A capture with a bit of everything, for the tests of the writers: two snapshots of a
 * server with a leak, C++ and C frames, inlined ones, a frame without a name, one
 * without a module, both kinds of cut stacks, an empty stack, and names full of
 * terminal escapes. Release with capture_destroy.
 */
struct capture *capture_sample(void);

/* The same figures as estimates from sampling, with standard errors; nothing is known to be temporary. */
struct capture *capture_sample_estimated(void);

/* The stacks of the sample, in the order of its sites. */
enum {
	SAMPLE_LEAK,   /* 10 MiB live in 102,400 blocks; grew by 6 MiB */
	SAMPLE_VECTOR, /* 1 MiB live in 1 block, allocated through std::vector */
	SAMPLE_BUFFER, /* 16 KiB live in 2 blocks; 16 GiB allocated, nearly all temporary */
	SAMPLE_DEPTH,  /* 4 KiB; cut by --depth; frames without names */
	SAMPLE_LOST,   /* 512 B; cut: no unwind information; no module; shrank by 1536 B */
	SAMPLE_EVIL,   /* 100 B; hostile names */
	SAMPLE_FREED,  /* nothing live; through fopen */
	SAMPLE_EMPTY,  /* 24 B; a stack without frames */
	SAMPLE_STACKS,
};

#endif
