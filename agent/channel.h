/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_CHANNEL_H
#define MEMATTACH_AGENT_CHANNEL_H

/*
 * The channel: memory that memattach and the agent in the target share. The
 * agent writes what it sees into the ring; memattach reads it, and writes what
 * the agent needs to walk stacks.
 *
 *	struct channel		counters, switches, where the rest is; one page
 *	ring			struct channel_record, 1 << CHANNEL_RING_BITS of them
 *	threads			struct channel_thread, CHANNEL_THREADS of them
 *	known			u64, CHANNEL_KNOWN: hashes of stacks that memattach has
 *	rules			u64, CHANNEL_RULES: cache of unwind rules by pc
 *	ranges			u64, CHANNEL_RANGES: spans of known stacks, by sp >> CHANNEL_RANGE_SHIFT
 *	memos			CHANNEL_MEMOS, channel_memo_at: what threads remember of their
 *				last walks (agent/memo.h); offset 0: there are none
 *	filter			CHANNEL_FILTER bytes: sampled blocks that are live (agent/sample_filter.h)
 *	modules			struct channel_module, two lists of CHANNEL_MODULES
 *	rows			struct unwind_row (unwind/table.h), rows_max of them
 *
 * The target may be hostile: memattach copies a word once and checks the copy.
 *
 * THE RING has one order for all threads, that in which places were taken (head
 * was counted up): a free is put there before it runs, an allocation after it
 * has returned, so a block's free is always before the next allocation of its
 * address. A place is taken only when it is empty, and is written word by word,
 * the first word last; that word has the lap in its top byte, by which memattach
 * sees that the record is complete. From taking to completing are a dozen
 * instructions; a signal that comes there is delivered by memattach only
 * after it has sent the thread back and made the record void.
 *
 * STACKS travel once. A record has the stack's 64-bit hash; the frames are sent
 * before that by the thread that does not find the hash in known, and only then
 * put there: whoever finds it has its record behind the frames in the ring. Frames
 * beyond the number that CHANNEL_STACK_END has are void; a stack without its end
 * is void, too. A place in known is given to another hash when it gets full there.
 */

/* For agent/entry_x86_64.S, too. */
#define CHANNEL_RING_BITS 18 /* the ring has 1 << 18 records of 32 bytes: 8 MB */
#define CHANNEL_TAIL_AT   256
#define CHANNEL_HEAD_AT   320
#define CHANNEL_RING_AT   4096
#define CHANNEL_KIND_FREE 3

#define CHANNEL_THREADS_BITS     12
#define CHANNEL_THREAD_SHIFT     6 /* log2 of the size of struct channel_thread */
#define CHANNEL_THREAD_OPEN      16
#define CHANNEL_THREAD_COUNTDOWN 24
#define CHANNEL_THREAD_MEMO      40
/*
 * Of a thread's memos (agent/memo.h): the mark that a walk uses them, the mask of their classes, which
 * of them each class had last, the first one of them, the size of each.
 */
#define CHANNEL_MEMO_BUSY  0
#define CHANNEL_MEMO_MASK  8
#define CHANNEL_MEMO_LAST  64
#define CHANNEL_MEMO_FIRST 2752
#define CHANNEL_MEMO_EACH  5568

/* A hash of its lower 40 bits: 2^31 / golden ratio (Knuth), which an instruction has room for. */
#define CHANNEL_THREAD_MULTIPLIER       0x4f1bbcdd
#define CHANNEL_THREAD_MULTIPLIER_SHIFT 28

/*
 * The filter (agent/sample_filter.h): areas, then cells. Which cell a block's address hashes to: the
 * multiplier is that of MurmurHash2 (Austin Appleby), the shift the one that spreads rows of blocks best.
 */
#define CHANNEL_FILTER_AREAS            (1 << 16)
#define CHANNEL_FILTER_CELLS            (1 << 14)
#define CHANNEL_FILTER_MULTIPLIER       0x5bd1e995
#define CHANNEL_FILTER_MULTIPLIER_SHIFT 26

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

/* With another layout it is another one. */
#define CHANNEL_MAGIC 0x6c656e6e61686334ULL

#define CHANNEL_THREADS    (1U << CHANNEL_THREADS_BITS)
#define CHANNEL_KNOWN      (1U << 18)
#define CHANNEL_RULES_BITS 14
#define CHANNEL_RULES      (1U << CHANNEL_RULES_BITS)
#define CHANNEL_RANGES     32768U
#define CHANNEL_FILTER     (CHANNEL_FILTER_AREAS + 8U * CHANNEL_FILTER_CELLS)
#define CHANNEL_MODULES    2048U
#define CHANNEL_MEMOS      128U
#define CHANNEL_DEPTH_MAX  256U

#define CHANNEL_LINE __attribute__((aligned(64)))

/* Why something was not recorded. */
enum channel_loss {
	CHANNEL_LOSS_FULL,    /* the ring was full for too long */
	CHANNEL_LOSS_THREADS, /* more threads than the table holds */
	CHANNEL_LOSS_STACK,   /* a stack could not be sent; memattach counts its events itself */
	CHANNEL_LOSSES,
};

struct channel {
	/* Written by memattach, rarely. */
	uint64_t magic;
	uint64_t size;         /* of all of it, bytes */
	uint64_t second;       /* how many cycles (rdtsc) a second has */
	uint64_t sample;       /* mean bytes between samples, 0: every allocation */
	uint32_t modules_n[2]; /* how many modules the two lists of them have */
	uint64_t ranges, filter, modules, rows; /* offsets */

	/* What nearly every call of the agent reads, in one cache line. */
	CHANNEL_LINE uint64_t
		generation; /* counted up whenever modules change; odd while they do */
	uint64_t seed;      /* of the hash of stacks and of the samples */
	uint64_t threads, known, rules, memos; /* offsets */
	uint32_t depth;                        /* frames of a stack at most */
	uint32_t list;                         /* which of the two lists of modules is valid */
	/*
	 * Written by the agent: heartbeat + 1 at which patience with a full ring ended. Nobody
	 * waits until it changes.
	 */
	uint64_t stalled;
	uint64_t rows_max;

	/* Written by memattach, all the time. */
	__attribute__((aligned(256))) uint64_t tail; /* records read so far */
	uint64_t heartbeat; /* changes as long as memattach reads the ring */

	/* Written by the agent. */
	CHANNEL_LINE uint64_t head; /* places taken so far */
	CHANNEL_LINE uint64_t lost[CHANNEL_LOSSES];
	/*
	 * A bit for each memo that belongs to a thread. When a thread has ended, memattach
	 * may clear the bit of its memo, after it has set channel_thread.memo to 0.
	 */
	uint64_t memos_taken[(CHANNEL_MEMOS + 63) / 64];
};

_Static_assert(offsetof(struct channel, tail) == CHANNEL_TAIL_AT, "as agent/entry_x86_64.S has it");
_Static_assert(offsetof(struct channel, head) == CHANNEL_HEAD_AT, "as agent/entry_x86_64.S has it");
_Static_assert(offsetof(struct channel, stalled) - offsetof(struct channel, generation) == 56,
	       "one line");
_Static_assert(sizeof(struct channel) <= CHANNEL_RING_AT, "the ring begins behind it");

enum channel_kind {
	CHANNEL_VOID,   /* nothing: the thread was interrupted, and has written another one */
	CHANNEL_ALLOC,  /* address, size, hash, thread */
	CHANNEL_FAILED, /* -, size, -, thread */
	CHANNEL_FREE, /* address, sp at the entry, caller, thread + CHANNEL_NEXT + CHANNEL_SETTLED */
	CHANNEL_REALLOC_BEGIN,  /* old address, sp at the entry, -, thread */
	CHANNEL_REALLOC_DONE,   /* new address or 0, size, hash, thread */
	CHANNEL_REALLOC_FAILED, /* -, size, -, thread */
	CHANNEL_STACK,          /* sp, hash, -, -: frames of this stack follow */
	CHANNEL_FRAMES,         /* sp, three lookup addresses */
	CHANNEL_STACK_END, /* sp, hash, number of frames | enum channel_end << 32, sp where the walk ended */
};

_Static_assert(CHANNEL_FREE == CHANNEL_KIND_FREE, "as agent/entry_x86_64.S has it");

/* How a walk has ended (enum unwind_end). */
enum channel_end { CHANNEL_OUTERMOST, CHANNEL_DEPTH, CHANNEL_LOST };

/* word[0]: lap in bits 56-63, kind in 48-55, address in 0-47. lap is place >> CHANNEL_RING_BITS, plus 1. */
struct channel_record {
	uint64_t word[4];
};

#define CHANNEL_WORD0(kind, address) ((uint64_t)(kind) << 48 | ((address)&0xffffffffffffULL))
#define CHANNEL_KIND(word0)          ((enum channel_kind)((word0) >> 48 & 0xff))
#define CHANNEL_ADDRESS(word0)       ((word0)&0xffffffffffffULL)
#define CHANNEL_LAP(place)           ((uint8_t)(((place) >> CHANNEL_RING_BITS) + 1))

/*
 * word[3]: thread in bits 0-15, CHANNEL_NEXT, CHANNEL_SETTLED, and in bits 40-63 some of the call's stack
 * pointer, by which the end of a realloc finds its beginning.
 */
#define CHANNEL_THREAD(word3)     ((uint32_t)((word3)&0xffff))
#define CHANNEL_TAG(word3)        ((uint32_t)((word3) >> 40))
#define CHANNEL_SP_TAG(sp)        ((uint32_t)((sp) >> 3 & 0xffffff))
#define CHANNEL_WORD3(thread, sp) ((uint64_t)CHANNEL_SP_TAG(sp) << 40 | (thread))
/* FREE, with sampling: the thread has allocated nothing since its last call that was recorded. */
#define CHANNEL_NEXT (1ULL << 16)
/* FREE, with sampling: the agent takes the block out of the filter. */
#define CHANNEL_SETTLED (1ULL << 17)

/* One thread of the target as the agent knows it: by its thread pointer (fs base). */
struct channel_thread {
	uint64_t key;      /* fs base, 0: free */
	uint64_t stack;    /* the span that its stack is in: memory that may be read */
	uint64_t open;     /* the stack pointer at the entry of the call under way, 0: none;
			      with CHANNEL_OPEN_TRAP if it went through a breakpoint */
	int64_t countdown; /* bytes to the next sample */
	uint64_t random;   /* state of its generator, 0: not begun */
	uint64_t memo;     /* where its memos are in the target; 0: it has none so far */
	int64_t fresh;     /* what countdown was after its last call that was sampled */
	uint64_t trap_ret; /* the return address of that one then */
};

/*
 * How many classes of walks the memos of the first n threads have (agent/memo.h). Those that
 * allocate first have the most, so that what all of them take has room in the target.
 */
static inline uint64_t channel_memo_classes(uint64_t n)
{
	uint64_t wide = n < 2 ? n : 2, middle = n < 16 ? n : 16;

	return wide * 128 + (middle - wide) * 32 + (n - middle) * 4;
}

/* Where memos number i are behind channel.memos; CHANNEL_MEMOS: the size of all. */
static inline uint64_t channel_memo_at(uint64_t i)
{
	return i * CHANNEL_MEMO_FIRST + channel_memo_classes(i) * CHANNEL_MEMO_EACH;
}

/* The number of the memos at this offset behind channel.memos; CHANNEL_MEMOS: there are none. */
static inline uint64_t channel_memo_number(uint64_t offset)
{
	uint64_t i = 0;

	while (i < CHANNEL_MEMOS && channel_memo_at(i) != offset)
		i++;
	return i;
}

#define CHANNEL_OPEN_TRAP   1ULL
#define CHANNEL_OPEN_SP(at) ((at) & ~7ULL)

_Static_assert(sizeof(struct channel_thread) == 1U << CHANNEL_THREAD_SHIFT, "as the code has it");
_Static_assert(offsetof(struct channel_thread, open) == CHANNEL_THREAD_OPEN, "as the code has it");
_Static_assert(offsetof(struct channel_thread, countdown) == CHANNEL_THREAD_COUNTDOWN,
	       "as the code has it");
_Static_assert(offsetof(struct channel_thread, memo) == CHANNEL_THREAD_MEMO, "as the code has it");

/* It is in one of so many places from its first one on. */
#define CHANNEL_THREAD_PROBES 16U

static inline uint32_t channel_thread_first(uint64_t key)
{
	return (uint32_t)(key * CHANNEL_THREAD_MULTIPLIER >> CHANNEL_THREAD_MULTIPLIER_SHIFT) %
	       CHANNEL_THREADS;
}

/*
 * A mapping in one word, so that no two halves can be mixed up: its first page
 * in bits 29-63, how many pages in bits 0-28 (2 TB at most). No pages: memattach
 * knows of no memory there.
 */
#define CHANNEL_SPAN_LOW(span)  ((span) >> 29 << 12)
#define CHANNEL_SPAN_SIZE(span) (((span)&0x1fffffffULL) << 12)
#define CHANNEL_SPAN(low, size) ((uint64_t)(low) >> 12 << 29 | (uint64_t)(size) >> 12)
#define CHANNEL_SPAN_MAX        (0x1fffffffULL << 12)

#define CHANNEL_RANGE_SHIFT 16

/* What CHANNEL_ASK_RANGE is about: whole pages, all of them readable. */
struct channel_range {
	uint64_t low, high;
};

/* A mapped module and its unwind rows. Ascending by start; they do not overlap. */
struct channel_module {
	uint64_t start, end;
	uint64_t base;     /* address of offset 0 of its rows */
	uint32_t first, n; /* its rows */
};

/*
 * The question: the agent executes int3 in front of AGENT_ENTRY_ASKED with the number
 * in rdi and an argument in rsi; memattach answers in rax. 0: nobody has answered.
 */
enum channel_question {
	/* rsi: struct channel_range *, its low is an address: fill it with the mapping that has it. Answer: 1. */
	CHANNEL_ASK_RANGE = 1,
};

#endif
#endif
