// SPDX-License-Identifier: MIT
#include "probe/jump_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/guard.h"
#include "probe/jump_safety_x86_64.h"

#define HWCAP2_FSGSBASE_BIT 2UL

/* Of a function whose size is not known so much is looked at. */
#define FUNCTION_MAX 0x10000

#define PIECE   (1UL << 20)
#define OVERLAP 5

int jump_plan_check_cpu(struct err *err)
{
	/* rdfsbase tells threads apart; Linux 5.9 permits it. */
	if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT)
		return 0;
	return err_set(err, EOPNOTSUPP,
		       "this processor or kernel has no FSGSBASE instructions (Linux 5.9 or "
		       "newer is needed)");
}

static int by_value(const void *a, const void *b)
{
	const u64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int by_address(const void *a, const void *b)
{
	const struct jump_range *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

static u64 size_of(const struct probe_function *f)
{
	if (f->size)
		return f->size;
	if (f->next && f->next - f->address < FUNCTION_MAX)
		return f->next - f->address;
	return f->text_end - f->address < FUNCTION_MAX ? f->text_end - f->address : FUNCTION_MAX;
}

/* Looks through one module's text for branches into what will be covered. */
static int scan_text(struct jump_plan *plan, u64 start, u64 end)
{
	_cleanup_free_ u8 *piece = malloc(PIECE);

	if (!piece)
		return -ENOMEM;
	while (end - start > OVERLAP) {
		size_t want = end - start < PIECE ? end - start : PIECE;
		ssize_t n = proc_mem_read(plan->mem, start, piece, want);

		/* What cannot be read cannot be run either. */
		if (n <= OVERLAP)
			break;
		jump_branches_into(piece, (size_t)n, start, plan->ranges, plan->ranges_n);
		start += (u64)n - OVERLAP;
	}
	return 0;
}

static int scan_modules(struct jump_plan *plan, const struct probe_function *functions, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool seen = false;
		int ret;

		for (size_t k = 0; k < i && !seen; k++)
			seen = functions[k].text_start == functions[i].text_start;
		if (seen)
			continue;
		ret = scan_text(plan, functions[i].text_start, functions[i].text_end);
		if (ret)
			return ret;
	}
	return 0;
}

int jump_plan_init(struct jump_plan *plan, const struct proc_mem *mem,
		   const struct breakpoints *breakpoints, const struct probe_function *functions,
		   size_t n)
{
	int ret;

	*plan = (struct jump_plan){.mem = mem, .breakpoints = breakpoints};
	plan->known = calloc(breakpoints_count(breakpoints) + 1, sizeof(*plan->known));
	plan->probed = calloc(breakpoints_count(breakpoints) + 1, sizeof(*plan->probed));
	plan->ranges = calloc(n + 1, sizeof(*plan->ranges));
	if (!plan->known || !plan->probed || !plan->ranges) {
		jump_plan_deinit(plan);
		return -ENOMEM;
	}
	for (u32 i = 0; i < breakpoints_count(breakpoints); i++) {
		const struct breakpoint *bp = breakpoints_at(breakpoints, i);

		if (bp->uses & USE_ENTRY)
			plan->probed[plan->probed_n++] = bp->address;
		if (bp->uses & USE_ENTRY && !bp->custom)
			plan->known[plan->known_n++] = bp->address;
	}
	qsort(plan->probed, plan->probed_n, sizeof(*plan->probed), by_value);
	qsort(plan->known, plan->known_n, sizeof(*plan->known), by_value);
	for (size_t i = 0; i < n; i++)
		plan->ranges[plan->ranges_n++] = (struct jump_range){
			.address = functions[i].address, .size = size_of(&functions[i])};
	qsort(plan->ranges, plan->ranges_n, sizeof(*plan->ranges), by_address);
	ret = scan_modules(plan, functions, n);
	if (ret)
		jump_plan_deinit(plan);
	return ret;
}

void jump_plan_deinit(struct jump_plan *plan)
{
	free(plan->known);
	free(plan->probed);
	free(plan->ranges);
}

static bool is_branched_into(const struct jump_plan *plan, u64 address)
{
	struct jump_range key = {.address = address};
	const struct jump_range *range =
		bsearch(&key, plan->ranges, plan->ranges_n, sizeof(*plan->ranges), by_address);

	return !range || range->hit;
}

/* The function as it is without our breakpoints. */
static ssize_t read_original(const struct jump_plan *plan, u64 address, u8 *code, size_t len)
{
	ssize_t n = proc_mem_read(plan->mem, address, code, len);

	for (u32 i = 0; i < breakpoints_count(plan->breakpoints) && n > 0; i++) {
		const struct breakpoint *bp = breakpoints_at(plan->breakpoints, i);
		size_t covered = bp->jump ? AGENT_JUMP : bp->planted ? BREAKPOINT_LENGTH : 0;

		for (size_t k = 0; k < covered; k++)
			if (bp->address + k - address < (u64)n)
				code[bp->address + k - address] = bp->original[k];
	}
	return n;
}

static const char *simple_reason(const struct probe_function *function, const struct breakpoint *bp)
{
	if (!bp->slot)
		return "there is no memory for the agent near it";
	if (bp->displaced < AGENT_JUMP)
		return "its first instructions cannot run in another place";
	if (function->spec.throws && !function->nothrow)
		return "it fails with an exception, and has no form that does not";
	if (function->custom && function->may_throw)
		return "an exception may pass through it";
	return NULL;
}

/* Whether the agent is returned to when the call has ended. */
static bool is_wrapped(const struct call_spec *spec)
{
	return spec->kind != CALL_FREE || spec->nests;
}

bool jump_plan_is_safe(const struct jump_plan *plan, const struct probe_function *function,
		       const struct breakpoint *bp, bool *leaf, const char **why)
{
	struct mem_reader reader = proc_mem_reader(plan->mem);
	size_t size = size_of(function);
	_cleanup_free_ u8 *code = malloc(size);
	struct jump_question q = {
		.address = function->address,
		.size = function->size,
		.limit = size,
		.code = code,
		.text = function->text_start,
		.text_end = function->text_end,
		.memory = &reader,
		.symbol_inside = function->entered,
		.branched_into = is_branched_into(plan, function->address),
		.custom = function->custom,
		.known = plan->known,
		.known_n = plan->known_n,
	};
	enum jump_calls calls;
	ssize_t n;

	*why = simple_reason(function, bp);
	if (*why)
		return false;
	n = code ? read_original(plan, function->address, code, size) : -1;
	if (n <= 0) {
		*why = "its code cannot be read";
		return false;
	}
	q.available = (size_t)n;
	if (!jump_is_safe(&q, why))
		return false;
	if (function->custom && is_wrapped(&function->spec) &&
	    !jump_calls_only(&q, plan->known, plan->known_n)) {
		*why = "it calls other functions, which might switch to another stack";
		return false;
	}
	calls = jump_calls_any(&q, plan->probed, plan->probed_n);
	*leaf = calls == JUMP_CALLS_NOTHING || (calls == JUMP_CALLS_OTHERS && !function->custom &&
						function->spec.kind != CALL_REALLOC);
	return true;
}
