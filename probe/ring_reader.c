// SPDX-License-Identifier: MIT
#include "probe/ring_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "probe/known_stacks.h"
#include "probe/stack_arrivals.h"

#define RING_SIZE (1ULL << CHANNEL_RING_BITS)
#define RING_MASK (RING_SIZE - 1)

/* So many records are read together: the host fetches what the last needs while it does the first. */
#define GROUP 32

/* And so many ahead a record is fetched: the target's core has it. */
#define FETCH 64

/* How long to wait for a record that is being written, and after what time its thread is given our CPU. */
#define DRAIN_NS      20000000ULL
#define DRAIN_SPIN_NS 20000ULL
#define DRAIN_NAP_NS  50000

/* And how long for all of them: several times what a full ring takes. */
#define DRAIN_ALL_NS 1000000000ULL
#define BATCH        4096

/* The target must see soon that there is room again, and not too often that a line has changed. */
#define TAIL_PERIOD 1024

#define OPEN_MAX 4

/* Events that a record may bring: those that were never ended, and its own. */
#define EVENTS_MAX (OPEN_MAX + 1)

/* A realloc whose end is still to come. */
struct open_realloc {
	u32 tag; /* of its stack pointer */
	u64 scratch[REALLOC_SCRATCH / 8];
};

/* Those of one thread, the innermost last: signal handlers nest. */
struct open_reallocs {
	u32 n;
	struct open_realloc items[OPEN_MAX];
};

struct ring_reader {
	struct channel *channel;
	const struct channel_record *ring;
	struct probe_host host;
	bool no_room; /* some stacks that have come are not to be had */
	u64 tail;     /* of our own: the one in the channel may be written by the target */
	struct stack_arrivals *arrivals;
	struct known_stacks stacks;
	u64 last_free[CHANNEL_THREADS]; /* of each thread, unless another call came after it */
	struct open_reallocs *open[CHANNEL_THREADS];
	struct heap_event events[GROUP * EVENTS_MAX]; /* that the host does not have yet */
	u32 events_n;
};

struct ring_reader *ring_reader_create(struct channel *channel, const struct probe_host *host,
				       struct err *err)
{
	struct ring_reader *r = calloc(1, sizeof(*r));

	if (r)
		r->arrivals = stack_arrivals_create();
	if (!r || !r->arrivals || known_stacks_init(&r->stacks)) {
		ring_reader_destroy(r);
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	r->channel = channel;
	r->ring = (const struct channel_record *)((const char *)channel + CHANNEL_RING_AT);
	r->host = *host;
	return r;
}

void ring_reader_destroy(struct ring_reader *r)
{
	if (!r)
		return;
	for (u32 i = 0; i < CHANNEL_THREADS; i++)
		free(r->open[i]);
	stack_arrivals_destroy(r->arrivals);
	known_stacks_deinit(&r->stacks);
	free(r);
}

/* Another event, to be filled in; the host gets it with the others. */
static inline struct heap_event *add(struct ring_reader *r, enum heap_event_kind kind, u32 thread)
{
	struct heap_event *event = &r->events[r->events_n++];

	*event = (struct heap_event){.kind = kind, .thread = thread};
	return event;
}

static void lost(struct ring_reader *r, const char *why)
{
	r->host.lost(r->host.ctx, why);
}

/* The end of the innermost open realloc never came: it was left by longjmp. */
static void abandon(struct ring_reader *r, u32 thread, struct open_reallocs *open)
{
	add(r, HEAP_REALLOC_LOST, thread)->realloc = open->items[--open->n].scratch;
}

static void realloc_begins(struct ring_reader *r, u32 thread, u64 address, u32 tag)
{
	struct open_reallocs *open = r->open[thread];
	struct heap_event *event;

	if (!open)
		open = r->open[thread] = calloc(1, sizeof(*open));
	if (!open) {
		lost(r, "memattach is out of memory");
		return;
	}
	if (open->n == OPEN_MAX)
		abandon(r, thread, open);
	event = add(r, HEAP_REALLOC_BEGIN, thread);
	event->address = address;
	open->items[open->n].tag = tag;
	event->realloc = open->items[open->n++].scratch;
}

static __attribute__((noinline)) void stack_is_lost(struct ring_reader *r, struct heap_event *event)
{
	event->stack_lost = r->no_room ? "there was no room left for a call stack"
				       : "a call stack did not come through";
	if (r->host.stack(r->host.ctx, NULL, 0, UNWIND_LOST, &event->stack))
		event->stack = 0;
}

/* The stack of an allocation. */
static inline void set_stack(struct ring_reader *r, struct heap_event *event, u64 hash)
{
	const struct known_stack *known = known_stacks_find(&r->stacks, hash);

	if (__builtin_expect(known != NULL, true))
		event->stack = known->id;
	else
		stack_is_lost(r, event);
}

static inline void allocated(struct ring_reader *r, u32 thread, const u64 *word)
{
	struct heap_event *event = add(r, HEAP_ALLOC, thread);

	event->address = CHANNEL_ADDRESS(word[0]);
	event->size = word[1];
	set_stack(r, event, word[2]);
}

static void realloc_ends(struct ring_reader *r, enum channel_kind kind, u32 thread, const u64 *word)
{
	struct open_reallocs *open = r->open[thread];
	struct heap_event *event;

	while (open && open->n && open->items[open->n - 1].tag != CHANNEL_TAG(word[3]))
		abandon(r, thread, open);
	if (!open || !open->n) {
		/* Its beginning was lost, and that was counted. What it has returned is there all the same. */
		if (kind == CHANNEL_REALLOC_DONE && CHANNEL_ADDRESS(word[0]))
			allocated(r, thread, word);
		return;
	}
	event = add(r, kind == CHANNEL_REALLOC_DONE ? HEAP_REALLOC_DONE : HEAP_REALLOC_FAILED,
		    thread);
	event->address = CHANNEL_ADDRESS(word[0]);
	event->size = word[1];
	if (kind == CHANNEL_REALLOC_DONE && event->address)
		set_stack(r, event, word[2]);
	event->realloc = open->items[--open->n].scratch;
}

/* A call that is known to be the thread's outermost: one deeper in the stack can be open no more. */
static inline void freed(struct ring_reader *r, u32 thread, const u64 *word)
{
	struct heap_event *event = add(r, HEAP_FREE, thread);

	event->address = CHANNEL_ADDRESS(word[0]);
	event->caller = word[2];
	event->next = word[3] & CHANNEL_NEXT;
	event->settled = word[3] & CHANNEL_SETTLED;
	event->again = r->last_free[thread] == event->address;
	r->last_free[thread] = event->address;
}

static void frames(struct ring_reader *r, enum channel_kind kind, const u64 *word)
{
	const struct arrived_stack *arrived;
	u32 id;
	int ret;

	if (kind == CHANNEL_STACK) {
		stack_arrivals_begin(r->arrivals, CHANNEL_ADDRESS(word[0]), word[1]);
		return;
	}
	if (kind == CHANNEL_FRAMES) {
		stack_arrivals_add(r->arrivals, CHANNEL_ADDRESS(word[0]), word + 1);
		return;
	}
	arrived = stack_arrivals_end(r->arrivals, CHANNEL_ADDRESS(word[0]), word[1], word[2]);
	if (!arrived)
		return;
	ret = r->host.arrived_stack(r->host.ctx, arrived->pcs, arrived->n, arrived->end, word[3],
				    &id);
	if (ret == 0)
		ret = known_stacks_learn(&r->stacks, arrived->hash, id);
	/* It is no event: those that have it say what they lack. */
	r->no_room |= ret != 0;
}

static void apply_rare(struct ring_reader *r, enum channel_kind kind, u32 thread, const u64 *word)
{
	if (kind >= CHANNEL_STACK && kind <= CHANNEL_STACK_END) {
		frames(r, kind, word);
		return;
	}
	if (kind == CHANNEL_VOID)
		return;
	r->last_free[thread] = 0;
	switch (kind) {
	case CHANNEL_FAILED:
		add(r, HEAP_FAILED, thread);
		break;
	case CHANNEL_REALLOC_BEGIN:
		realloc_begins(r, thread, CHANNEL_ADDRESS(word[0]), CHANNEL_TAG(word[3]));
		break;
	case CHANNEL_REALLOC_DONE:
	case CHANNEL_REALLOC_FAILED:
		realloc_ends(r, kind, thread, word);
		break;
	default:
		break;
	}
}

static inline void apply(struct ring_reader *r, const u64 *word)
{
	enum channel_kind kind = CHANNEL_KIND(word[0]);
	u32 thread = CHANNEL_THREAD(word[3]) % CHANNEL_THREADS;

	if (kind == CHANNEL_FREE) {
		freed(r, thread, word);
	} else if (kind == CHANNEL_ALLOC) {
		r->last_free[thread] = 0;
		allocated(r, thread, word);
	} else {
		apply_rare(r, kind, thread, word);
	}
}

/* Copies the record if it is complete. */
static inline bool take(const struct channel_record *record, u8 lap, u64 word[4])
{
	word[0] = __atomic_load_n(&record->word[0], __ATOMIC_ACQUIRE);
	if ((u8)(word[0] >> 56) != lap)
		return false;
	word[1] = __atomic_load_n(&record->word[1], __ATOMIC_RELAXED);
	word[2] = __atomic_load_n(&record->word[2], __ATOMIC_RELAXED);
	word[3] = __atomic_load_n(&record->word[3], __ATOMIC_RELAXED);
	return true;
}

static void show_tail(struct ring_reader *r)
{
	__atomic_store_n(&r->channel->tail, r->tail, __ATOMIC_RELEASE);
}

/* Reads up to max records, GROUP at most, that are behind each other in memory. */
static u32 read_group(struct ring_reader *r, u32 max)
{
	u64 place = r->tail, word[4];
	const struct channel_record *record = &r->ring[place & RING_MASK];
	u32 n;

	for (n = 0; n < max && take(record + n, CHANNEL_LAP(place), word); n++) {
		__builtin_prefetch(record + n + FETCH);
		apply(r, word);
	}
	if (r->events_n)
		r->host.events(r->host.ctx, r->events, r->events_n);
	r->events_n = 0;
	__atomic_store_n(&r->tail, place + n, __ATOMIC_RELAXED);
	return n;
}

/* How many records of the next max are a group. */
static u32 group_of(const struct ring_reader *r, u32 max)
{
	u64 end = RING_SIZE - (r->tail & RING_MASK);
	u32 n = max < GROUP ? max : GROUP;

	return n < end ? n : (u32)end;
}

u32 ring_reader_read(struct ring_reader *r, u32 max)
{
	u32 n = 0, group, read, shown = 0;

	r->host.batch(r->host.ctx);
	do {
		group = group_of(r, max - n);
		read = read_group(r, group);
		n += read;
		if (n - shown >= TAIL_PERIOD) {
			show_tail(r);
			shown = n;
		}
	} while (read == group && n < max);
	if (n != shown)
		show_tail(r);
	return n;
}

bool ring_reader_drain(struct ring_reader *r)
{
	u64 end = __atomic_load_n(&r->channel->head, __ATOMIC_ACQUIRE), stuck = 0, start;
	const struct timespec nap = {.tv_nsec = DRAIN_NAP_NS};

	/* What cannot be was not written by the agent. */
	if (end - r->tail > RING_SIZE)
		end = r->tail + RING_SIZE;
	start = clock_ns();
	while (r->tail != end && end - r->tail <= RING_SIZE) {
		u64 left = end - r->tail;

		if (ring_reader_read(r, left > BATCH ? BATCH : (u32)left)) {
			stuck = 0;
			/* A hostile target could complete them one by one. */
			if (clock_ns() - start > DRAIN_ALL_NS)
				return false;
			continue;
		}
		if (!stuck)
			stuck = clock_ns();
		else if (clock_ns() - stuck > DRAIN_NS)
			return false;
		else if (clock_ns() - stuck > DRAIN_SPIN_NS)
			nanosleep(&nap, NULL);
	}
	return true;
}

u32 ring_reader_waiting(const struct ring_reader *r)
{
	u64 n = __atomic_load_n(&r->channel->head, __ATOMIC_RELAXED) -
		__atomic_load_n(&r->tail, __ATOMIC_RELAXED);

	return n > RING_SIZE ? RING_SIZE : (u32)n;
}

bool ring_reader_is_behind(const struct ring_reader *r)
{
	return __atomic_load_n(&r->channel->head, __ATOMIC_ACQUIRE) - r->tail > RING_SIZE / 2;
}

void ring_reader_skip(struct ring_reader *r)
{
	/* It may have been completed meanwhile. */
	if (__atomic_load_n(&r->channel->head, __ATOMIC_ACQUIRE) == r->tail ||
	    ring_reader_read(r, 1))
		return;
	r->tail++;
	show_tail(r);
	lost(r, "a record was not completed");
}

void ring_reader_finish_dead(struct ring_reader *r)
{
	u64 end = __atomic_load_n(&r->channel->head, __ATOMIC_ACQUIRE);

	if (end - r->tail > RING_SIZE)
		end = r->tail + RING_SIZE;
	while (r->tail != end && end - r->tail <= RING_SIZE) {
		u64 left = end - r->tail;

		if (!ring_reader_read(r, left > BATCH ? BATCH : (u32)left))
			r->tail++;
	}
	show_tail(r);
}

void ring_reader_note_free(struct ring_reader *r, u32 thread, u64 address)
{
	if (thread < CHANNEL_THREADS)
		r->last_free[thread] = address;
}

u64 ring_reader_last_free(const struct ring_reader *r, u32 thread)
{
	return thread < CHANNEL_THREADS ? r->last_free[thread] : 0;
}

void ring_reader_beat(struct ring_reader *r)
{
	__atomic_fetch_add(&r->channel->heartbeat, 1, __ATOMIC_RELAXED);
}

void ring_reader_forget_stacks(struct ring_reader *r)
{
	known_stacks_forget(&r->stacks);
}

u64 ring_reader_records(const struct ring_reader *r)
{
	return r->tail;
}

u64 ring_reader_lost(const struct ring_reader *r, const char **why)
{
	static const char *const reasons[CHANNEL_LOSS_STACK] = {
		[CHANNEL_LOSS_FULL] =
			"the target went on when memattach had not read its records for a second",
		[CHANNEL_LOSS_THREADS] = "there are more threads than memattach can tell apart",
	};
	u64 sum = 0;

	*why = NULL;
	/* An event that comes without its stack is counted where it comes: set_stack. */
	for (int i = 0; i < CHANNEL_LOSS_STACK; i++) {
		u64 n = __atomic_load_n(&r->channel->lost[i], __ATOMIC_RELAXED);

		sum += n;
		if (n && !*why)
			*why = reasons[i];
	}
	return sum;
}
