/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_ROUNDS_H
#define MEMATTACH_TESTS_ROUNDS_H

/*
 * How often is repeated what only goes wrong by chance, or at one of many moments. What is
 * searched for there is harm to the target, which a sanitizer in memattach does not see any
 * better, while all takes several times as long: a part of the rounds shows that memattach's
 * own memory is in order at such moments, too.
 */
#ifdef __SANITIZE_ADDRESS__
#define ROUNDS_STEP 4
#else
#define ROUNDS_STEP 1
#endif

/* Of n rounds as many as there is time for. */
#define ROUNDS(n) (((n) + ROUNDS_STEP - 1) / ROUNDS_STEP)

#endif
