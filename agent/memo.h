/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_MEMO_H
#define MEMATTACH_AGENT_MEMO_H

#include "agent/walk_state.h"

/*
 * What a thread remembers of its last walks: of one for each of a few classes, told apart by
 * the place on the stack and the innermost return address, so that ways which a program
 * takes in turn have one each. The next one of its class mostly goes through the
 * same frames, at least the outer ones: it walks until it comes to a frame that the memo has, and
 * the rest is known, together with its hash.
 *
 * Ways of one class come in turn, too. So two classes, 2k and 2k+1, share their two memos: a
 * stack that is not in the one that its class had last is looked for in the other, and that
 * one gets it if it is new.
 *
 * A walk follows from where it is (sp, pc, and rbp where that matters) and from the
 * words that it reads. So frames are valid as long as all words are as they were
 * that the walk from there outward has read: return addresses, and saved rbps
 * that a frame further out is found by. The words are compared one by one, which
 * takes a cycle or two each, not a dozen: no load waits for the one before.
 *
 * Frames and words are kept with the outermost first, so that what is valid is a
 * part at the beginning, and new frames are put at the end:
 *
 *	words	| of the end | frame 0 | frame 1 | frame 2 .. |
 *		               a frame's own words: what leads from it to the one
 *		               before (outward), then its return address, the last one
 *	frames	  words: how many up to and with this one
 *
 * The hash is that of agent/walk_state.h. With frames counted from the outermost one it is, but
 * for the last mixing,
 *
 *	K^(n-1) * (K * e + g(at[0]) + K^-1 g(at[1]) + K^-2 g(at[2]) + ..)
 *
 * so that a frame's term depends on its own place only: a sum (top) is kept from which
 * the terms of frames that go are taken, and to which those of new ones are added. Of a stack
 * that is cut to d frames the terms of the others, and of e, are left out.
 *
 * Not remembered: stacks with signal frames or agent's frames, those that end with
 * a read that fails or with guessed frames that do not count, and those of which
 * there are more frames to be sent than a memo has.
 */
#define MEMO_FRAMES  80U
#define MEMO_WORDS   128U
#define MEMO_CLASSES 128U /* at most */
#define MEMO_GROUP   4U   /* words are compared so many at a time */
#define MEMO_MORE    15U  /* frames that are remembered beyond the depth at which stacks are cut */
#define MEMO_INVALID 1    /* an odd generation: no walk is made in one */
#define MEMO_OPEN    255  /* end: there are more frames than it remembers */

#define MEMO_NO_FRAME UINT32_MAX
#define MEMO_FIXED    UINT32_MAX /* no rule: another value than this one makes the rest invalid */

#define MEMO_BP      1 /* what comes further out depends on rbp */
#define MEMO_GUESSED 2 /* the frame was found through a frame pointer alone */
#define MEMO_PART    4 /* there are more frames than it remembers */

struct memo_frame {
	uint64_t bp;
	uint32_t words, flags;
};

/* A new frame, before it is put in: also the rule that leads to the next one. */
struct memo_step {
	uint64_t slot; /* where its return address is */
	uint64_t at, bp;
	uint32_t rule, guessed;
};

/* Where it is, and what it was. */
struct memo_word {
	uint64_t address, value;
};

/* More about a word. Of a return address: its frame's term, the rule of the code there, and the frame. */
struct memo_more {
	uint64_t term;
	uint32_t rule, frame;
};

struct agent_memo {
	/* All that has to be known of it if nothing has changed, in one cache line. */
	uint64_t generation;
	uint64_t span;
	uint64_t slot;  /* of the innermost frame; 0: there is none */
	uint64_t top;   /* the sum of the terms of all frames, and of the end */
	uint64_t power; /* of HASH_K: what makes the hash of it */
	/* What top was, and the hash, of the last stack of which it is certain that memattach has it. */
	uint64_t known_top, known_hash;
	uint16_t frames, words;
	uint8_t end;   /* enum channel_end, or MEMO_OPEN */
	uint8_t flags; /* of the innermost frame, and MEMO_PART */
	/* So many words were as they were; the walk that begins says so. Not 0: all frames are above its sp, and to be sent. */
	uint16_t compared;

	uint64_t bp;     /* of the innermost frame */
	uint64_t end_sp; /* where the walk ended */
	/* MEMO_WORDS, and as many as make the last ones a whole group: those are always as they were. */
	struct memo_word word[MEMO_WORDS + MEMO_GROUP];
	struct memo_more more[MEMO_WORDS];
	struct memo_frame frame[MEMO_FRAMES];
	uint64_t nothing; /* 0 */
	uint64_t unused[5];
};

/* Of one thread. */
struct agent_memos {
	/*
	 * The sp of the walk that uses them, 0: none. A signal handler that comes in between
	 * does without. Should that never return, the mark is taken away by the first walk
	 * that gets to the outermost frame and finds nothing of the agent on its way.
	 */
	uint64_t busy;
	uint64_t mask; /* how many there are, less 1 */
	uint64_t unused[6];
	/* For each class the one that had the last walk: its own, or that beside it. */
	uint8_t last[MEMO_CLASSES];
	struct memo_step step[MEMO_FRAMES];
	struct agent_memo of[];
};

_Static_assert(offsetof(struct agent_memo, bp) == 64, "the first line");
_Static_assert(offsetof(struct agent_memos, busy) == CHANNEL_MEMO_BUSY, "as memattach has it");
_Static_assert(offsetof(struct agent_memos, mask) == CHANNEL_MEMO_MASK, "as the code has it");
_Static_assert(offsetof(struct agent_memos, last) == CHANNEL_MEMO_LAST, "as the code has it");
_Static_assert(offsetof(struct agent_memos, of) == CHANNEL_MEMO_FIRST, "as the code has it");
_Static_assert(sizeof(struct agent_memo) == CHANNEL_MEMO_EACH, "as the code has it");

/* An odd number of cache lines: so that those that are used most are not all in the same place of the cache. */
_Static_assert(sizeof(struct agent_memo) % 128 == 64, "a memo's size");

/* The memos of w's thread; NULL if it has none and gets none. */
struct agent_memos *agent_memos_of(const struct walker *w);

/*
 * The hash of the stack from w->sp on, not mixed yet, in w->sum; w->count and w->end. 0:
 * this stack has to be walked without the memo. memo->compared has been set.
 */
int agent_memo_walk(struct walker *w, struct agent_memo *memo, uint64_t bp);

/* A word that the end of the walk depends on, for w->noting; w->unnoted if it cannot be remembered. */
void agent_memo_note(struct walker *w, uint64_t address, uint64_t value);

/* Puts the frames of that stack into the ring. 0; -1: memattach does not get them; SEND_AGAIN. */
int agent_memo_send(struct walker *w, const struct agent_memo *memo, uint64_t hash);

/* The walk that uses them will never end: as if there had been none so far. */
void agent_memo_abandon(struct agent_memos *memos);

/* The class of a walk from sp on, where the return address is caller. */
static inline uint64_t agent_memo_class(const struct agent_memos *memos, uint64_t sp,
					uint64_t caller)
{
	return (sp >> 4 ^ caller ^ caller >> 5) & memos->mask;
}

/* The memo that such a walk had last: what agent/entry_x86_64.S does, too. */
static inline struct agent_memo *agent_memo_for(struct agent_memos *memos, uint64_t sp,
						uint64_t caller)
{
	return &memos->of[memos->last[agent_memo_class(memos, sp, caller)]];
}

/* Is it one of these, and not of those that the thread has had before? */
static inline int agent_memo_is_of(const struct agent_memos *memos, const struct agent_memo *memo)
{
	return (uint64_t)memo - (uint64_t)memos->of <= memos->mask * sizeof(*memo);
}

/* The other one that it may have; memo is one of them. */
static inline struct agent_memo *agent_memo_beside(struct agent_memos *memos,
						   const struct agent_memo *memo)
{
	return &memos->of[(uint64_t)(memo - memos->of) ^ 1];
}

/* This memo is the one that it had last. */
static inline void agent_memo_choose(struct agent_memos *memos, const struct agent_memo *memo,
				     uint64_t sp, uint64_t caller)
{
	memos->last[agent_memo_class(memos, sp, caller)] = (uint8_t)(memo - memos->of);
}

/* In use now, by the walk from sp on. 0: they are in use already. */
static inline int agent_memos_take(struct agent_memos *memos, uint64_t sp)
{
	if (__atomic_load_n(&memos->busy, __ATOMIC_RELAXED))
		return 0;
	/* Only this thread uses them: what must not happen is that the compiler moves this. */
	__atomic_store_n(&memos->busy, sp, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return 1;
}

/* No longer in use. 1; 0 if somebody else has used them meanwhile: nothing of it is to be believed. */
static inline int agent_memos_release(struct agent_memos *memos, struct agent_memo *memo,
				      uint64_t sp)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__builtin_expect(__atomic_load_n(&memos->busy, __ATOMIC_RELAXED) != sp, 0)) {
		memo->generation = MEMO_INVALID;
		/* Nor is what another walk that is still to go on has of it. */
		__atomic_store_n(&memos->busy, 0, __ATOMIC_RELAXED);
		return 0;
	}
	__atomic_store_n(&memos->busy, 0, __ATOMIC_RELAXED);
	return 1;
}

#endif
