/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_PROCESS_IMAGE_H
#define MEMATTACH_TESTS_PROCESS_IMAGE_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Everything of a process that memattach could leave changed: its memory map,
 * the bytes of its code, its descriptors, and of each thread the signal masks,
 * pending signals, dispositions and tracer; as text, so that a difference can
 * be read.
 */

/*
 * Takes the image of pid, malloc'ed. With heap false, writable memory without a
 * file is left out: the target changes it itself. Fails the test if the process
 * is gone.
 */
char *process_image(pid_t pid, bool heap);

/* The images must be equal; says the first difference. Frees both. */
void assert_same_image(char *before, char *after);

#endif
