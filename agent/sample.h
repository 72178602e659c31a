/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_SAMPLE_H
#define MEMATTACH_AGENT_SAMPLE_H

/*
 * Which allocations are recorded with -s MEAN.
 *
 * All that a thread allocates is laid end to end on a line of bytes, on which
 * samples stand at random, MEAN bytes apart on average (a Poisson process: the
 * gaps are exponential). An allocation is recorded if a sample stands on one of
 * its bytes, or several:
 *
 *	  first gap            second gap      third gap
 *	|-----------------*------------------*---------------------------------*--
 *	[ 8 ][   24   ][ 16  ][   ... 100 ...     ][ 40 ][ 8 ]
 *	               sample!                sample!
 *
 * So size Z is recorded with probability 1 - exp(-Z / MEAN), whatever else was
 * allocated. An exponential gap has no memory: what is left of it behind an
 * allocation without a sample is like a new one, and behind one with a sample a
 * new one begins at its end, however many stood on it. Hence one number a
 * thread, the bytes to the next sample, and nearly always one subtraction.
 *
 * Freestanding and without floating point: it is also part of the agent.
 */
#include <stdbool.h>
#include <stdint.h>

/* Greater means would make the greatest gaps overflow. */
#define SAMPLE_MEAN_MAX (1ULL << 56)

/*
 * The next of a thread's random numbers, none of which is 0 if the state is not:
 * xorshift64* (Marsaglia 2003, Vigna 2016), period 2^64 - 1.
 */
static inline uint64_t sample_random(uint64_t *random)
{
	uint64_t x = *random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*random = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/* The product of two fractions of 2^63. */
static inline int64_t sample_times(int64_t a, int64_t b)
{
	return (int64_t)((__int128)a * b >> 63);
}

/* ln(1 + x) for |x| <= 1/32, both as fractions of 2^63: six terms of the series, error 4e-12 of x. */
static inline int64_t sample_log1p(int64_t x)
{
	int64_t sum = 0x1555555555555555; /* 1/6 */

	sum = 0x199999999999999a - sample_times(x, sum); /* 1/5 */
	sum = 0x2000000000000000 - sample_times(x, sum);
	sum = 0x2aaaaaaaaaaaaaab - sample_times(x, sum);
	sum = 0x4000000000000000 - sample_times(x, sum); /* 1/2 */
	return x - sample_times(sample_times(x, x), sum);
}

/*
 * -ln(random / 2^64) in units of 2^-57, for random > 0; error below 1e-9, and near 0,
 * where it decides about small allocations, below 1e-9 of the value (and 2^-57).
 *
 * random = 2^(63-n) * m with 1 <= m < 2. m is i/16 + d for the nearest i, whose
 * logarithm is in the table, and ln m = ln(i/16) + ln(1 + d/(i/16)). For values near
 * 2^64 i is 32 and the table's entry exactly 0: nothing cancels.
 */
static inline uint64_t sample_log(uint64_t random)
{
	/* ln 2 - ln(i/16) for i from 16 to 32. */
	static const uint64_t table[17] = {
		0x162e42fefa39ef3, 0x143d9ff2f923c4d, 0x1269621134db928, 0x10ae76e2d054fa4,
		0x0f0a450d139366d, 0x0d7a94a92466e83, 0x0bfd7d1dec0a8df, 0x0a9157039c51ebe,
		0x0934b1089a6dc94, 0x07e6471b2cecde6, 0x06a4fb4f22b678e, 0x056fd01ad50f6c8,
		0x0445e3a089f91ef, 0x03266bcbab29311, 0x0210b316b3c740d, 0x010415d89e74444,
		0x000000000000000,
	};
	int zeros = __builtin_clzll(random);
	uint64_t m = random << zeros;         /* fraction of 2^63, 1 <= m < 2 */
	uint64_t i = ((m >> 58) + 1) >> 1;    /* 16 .. 32 */
	int64_t d = (int64_t)(m - (i << 59)); /* 32 << 59 is 2^64, hence 0: as it should be */
	int64_t x = d * 16 / (int64_t)i;      /* |d| <= 2^58 */
	uint64_t whole = (uint64_t)zeros * table[0] + table[i - 16];

	return whole - (uint64_t)(sample_log1p(x) >> 6);
}

/* A gap in bytes, at least 1: the sample stands on the last of them. mean from 1 to SAMPLE_MEAN_MAX. */
static __attribute__((noinline, unused)) int64_t sample_gap(uint64_t *random, uint64_t mean)
{
	uint64_t log = sample_log(sample_random(random));

	return (int64_t)((unsigned __int128)log * mean >> 57) + 1;
}

/*
 * Begins a thread: its generator and its first gap. Threads and runs shall differ
 * in one of the three numbers at least (its key; a secret of the run; rdtsc).
 */
static __attribute__((noinline, cold, unused)) void sample_begin(int64_t *countdown,
								 uint64_t *random, uint64_t mean,
								 uint64_t key, uint64_t seed,
								 uint64_t cycles)
{
	uint64_t x = key;

	/* The finalizer of MurmurHash3 (Austin Appleby, public domain) after each. */
	for (int i = 0; i < 3; i++) {
		x = (x ^ x >> 33) * 0xff51afd7ed558ccdULL;
		x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ULL;
		x ^= x >> 33;
		x += i ? cycles : seed;
	}
	*random = x ? x : 1;
	*countdown = sample_gap(random, mean);
}

/* The rest of sample_step, which seldom comes here. */
static __attribute__((noinline, cold, unused)) bool sample_due(int64_t *countdown, uint64_t *random,
							       uint64_t mean, uint64_t size)
{
	if (!mean)
		return true;
	if (!*random) {
		sample_begin(countdown, random, mean, (uint64_t)(uintptr_t)countdown, 0, 0);
		if (size < (uint64_t)*countdown) {
			*countdown -= (int64_t)size;
			return false;
		}
	}
	*countdown = sample_gap(random, mean);
	return true;
}

/*
 * Is an allocation of size bytes (any size) to be recorded? countdown and random are the
 * thread's: both 0 before its first allocation, or set by sample_begin, without which
 * its generator depends on nothing but the address of countdown. mean 0: always. A
 * signal handler that allocates in between does no harm.
 */
static inline bool sample_step(int64_t *countdown, uint64_t *random, uint64_t mean, uint64_t size)
{
	/*
	 * Read once: whatever a handler does meanwhile is overwritten, and what stands there
	 * is the rest of a gap, never less than 1.
	 */
	uint64_t left = (uint64_t)__atomic_load_n(countdown, __ATOMIC_RELAXED);

	if (__builtin_expect(size >= left, 0))
		return sample_due(countdown, random, mean, size);
	__atomic_store_n(countdown, (int64_t)(left - size), __ATOMIC_RELAXED);
	return false;
}

#endif
