// SPDX-License-Identifier: MIT
/* Linked into every runner, so that nothing of report/ may be called from here. */
#include "tests/capture_sample.h"

#include <stdlib.h>
#include <string.h>

#define REDIS  "/usr/bin/redis-server"
#define LIBC   "/usr/lib/x86_64-linux-gnu/libc.so.6"
#define LIBCXX "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"
#define SEARCH "/opt/app/plugins/libsearch.so"
#define SRC    "/build/redis/src/"

struct sample_frame {
	const char *module, *function, *file;
	u32 line;
	bool inlined;
};

enum {
	MALLOC,
	ZTRYMALLOC,
	ZMALLOC,
	SDSNEWLEN,
	CREATE_STRING,
	SET_COMMAND,
	CALL,
	READ_QUERY,
	MAIN,
	START_MAIN,
	NEW,
	REALLOC_INSERT,
	PUSH_BACK,
	ADD_DOCUMENT,
	NAMELESS,
	START_THREAD,
	JIT,
	EVIL,
	FOPEN,
	LOAD_CONFIG,
	FRAMES,
};

static const struct sample_frame frames[FRAMES] = {
	[MALLOC] = {LIBC, "malloc", NULL, 0, false},
	[ZTRYMALLOC] = {REDIS, "ztrymalloc_usable", SRC "zmalloc.c", 98, true},
	[ZMALLOC] = {REDIS, "zmalloc", SRC "zmalloc.c", 131, false},
	[SDSNEWLEN] = {REDIS, "sdsnewlen", SRC "sds.c", 113, false},
	[CREATE_STRING] = {REDIS, "createStringObject", SRC "object.c", 88, false},
	[SET_COMMAND] = {REDIS, "setGenericCommand", SRC "t_string.c", 91, false},
	[CALL] = {REDIS, "call", SRC "server.c", 3374, false},
	[READ_QUERY] = {REDIS, "readQueryFromClient", SRC "networking.c", 2700, false},
	[MAIN] = {REDIS, "main", SRC "server.c", 7212, false},
	[START_MAIN] = {LIBC, "__libc_start_call_main", NULL, 0, false},
	[NEW] = {LIBCXX, "operator new(unsigned long)", NULL, 0, false},
	[REALLOC_INSERT] = {SEARCH,
			    "void std::vector<Token, std::allocator<Token> >::"
			    "_M_realloc_insert<Token const&>(Token*, Token const&)",
			    "/usr/include/c++/12/bits/vector.tcc", 440, false},
	[PUSH_BACK] = {SEARCH,
		       "std::vector<Token, std::allocator<Token> >::push_back(Token const&)",
		       "/usr/include/c++/12/bits/stl_vector.h", 1289, true},
	[ADD_DOCUMENT] = {SEARCH, "search::Indexer::addDocument(std::string const&)",
			  "/home/ci/search/src/indexer.cpp", 214, false},
	[NAMELESS] = {SEARCH, NULL, NULL, 0, false},
	[START_THREAD] = {LIBC, "start_thread", NULL, 0, false},
	[JIT] = {NULL, NULL, NULL, 0, false},
	[EVIL] = {"/tmp/\x1b]0;evil\x07/lib.so", "evil\n\x1b[2Jname\xff\xe2\x80\xae<\"&",
		  "/x/\xc2\x9b.c", 3, false},
	[FOPEN] = {LIBC, "fopen64", NULL, 0, false},
	[LOAD_CONFIG] = {REDIS, "loadServerConfig", SRC "config.c", 610, false},
};

#define STACK_MAX 12
#define END       FRAMES

static const struct {
	u32 frames[STACK_MAX + 1];
	enum capture_cut cut;
} stacks[SAMPLE_STACKS] = {
	[SAMPLE_LEAK] = {{MALLOC, ZTRYMALLOC, ZMALLOC, SDSNEWLEN, CREATE_STRING, SET_COMMAND, CALL,
			  READ_QUERY, MAIN, START_MAIN, END},
			 CAPTURE_WHOLE},
	[SAMPLE_VECTOR] = {{MALLOC, NEW, REALLOC_INSERT, PUSH_BACK, ADD_DOCUMENT, CALL, READ_QUERY,
			    MAIN, START_MAIN, END},
			   CAPTURE_WHOLE},
	[SAMPLE_BUFFER] = {{MALLOC, ZTRYMALLOC, ZMALLOC, SDSNEWLEN, READ_QUERY, MAIN, START_MAIN,
			    END},
			   CAPTURE_WHOLE},
	[SAMPLE_DEPTH] = {{MALLOC, NAMELESS, NAMELESS, START_THREAD, END}, CAPTURE_CUT_DEPTH},
	[SAMPLE_LOST] = {{MALLOC, JIT, END}, CAPTURE_CUT_LOST},
	[SAMPLE_EVIL] = {{MALLOC, EVIL, MAIN, START_MAIN, END}, CAPTURE_WHOLE},
	[SAMPLE_FREED] = {{MALLOC, FOPEN, LOAD_CONFIG, MAIN, START_MAIN, END}, CAPTURE_WHOLE},
	[SAMPLE_EMPTY] = {{END}, CAPTURE_CUT_LOST},
};

#define MIB (1024ULL * 1024)

static const struct capture_site sites[SAMPLE_STACKS] = {
	{SAMPLE_LEAK, 10 * MIB, 102400, 10 * MIB, 100 * MIB, 1024000, 921600, 870400, 128, 4.9, 2.1,
	 0, 0, 0, 0},
	{SAMPLE_VECTOR, MIB, 1, 2 * MIB, 2 * MIB, 21, 20, 4, MIB, 0.9, 0.9, 0, 0, 0, 0},
	{SAMPLE_BUFFER, 16384, 2, 32768, 16384 * MIB, 1300000, 1299998, 1299000, 16384, 4.99, 3, 0,
	 0, 0, 0},
	{SAMPLE_DEPTH, 4096, 64, 4096, 4096, 64, 0, 0, 64, 3661, 1000, 0, 0, 0, 0},
	{SAMPLE_LOST, 512, 1, 512, 512, 1, 0, 0, 512, 200000.123, 200000.123, 0, 0, 0, 0},
	{SAMPLE_EVIL, 100, 1, 100, 100, 1, 0, 0, 100, 0.012, 0.012, 0, 0, 0, 0},
	{SAMPLE_FREED, 0, 0, 472, 472, 1, 1, 0, 472, 0, 0, 0, 0, 0, 0},
	{SAMPLE_EMPTY, 24, 1, 24, 24, 1, 0, 0, 24, 1, 1, 0, 0, 0, 0},
};

static void *zeroed(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		abort();
	return p;
}

static char *copy(const char *s)
{
	char *p = s ? strdup(s) : NULL;

	if (s && !p)
		abort();
	return p;
}

static void add_frames(struct capture *capture)
{
	capture->frames = zeroed(FRAMES, sizeof(*capture->frames));
	capture->frames_n = capture->frames_cap = FRAMES;
	for (u32 i = 0; i < FRAMES; i++)
		capture->frames[i] = (struct capture_frame){
			.module = copy(frames[i].module),
			.build_id = frames[i].module ? copy("0123456789abcdef") : NULL,
			.address = 0x7f0000001000 + 16 * i,
			.offset = frames[i].module ? 0x1000 + 16 * i : 0,
			.function = copy(frames[i].function),
			.file = copy(frames[i].file),
			.line = frames[i].line,
			.inlined = frames[i].inlined,
		};
}

static void add_stacks(struct capture *capture)
{
	capture->stacks = zeroed(SAMPLE_STACKS, sizeof(*capture->stacks));
	capture->stacks_n = capture->stacks_cap = SAMPLE_STACKS;
	for (u32 i = 0; i < SAMPLE_STACKS; i++) {
		struct capture_stack *stack = &capture->stacks[i];

		stack->frames = zeroed(STACK_MAX, sizeof(*stack->frames));
		stack->cut = stacks[i].cut;
		while (stacks[i].frames[stack->n] != END) {
			stack->frames[stack->n] = stacks[i].frames[stack->n];
			stack->n++;
		}
	}
}

static void add_snapshot(struct capture *capture, struct capture_snapshot *snapshot)
{
	struct ledger_totals *totals = &snapshot->totals;

	snapshot->sites = zeroed(SAMPLE_STACKS, sizeof(*snapshot->sites));
	snapshot->sites_n = SAMPLE_STACKS;
	memcpy(snapshot->sites, sites, sizeof(sites));
	if (snapshot == capture->snapshots) {
		snapshot->sites[SAMPLE_LEAK].live_bytes = 4 * MIB;
		snapshot->sites[SAMPLE_LOST].live_bytes = 2048;
	}
	for (u32 i = 0; i < SAMPLE_STACKS; i++) {
		totals->live_bytes += snapshot->sites[i].live_bytes;
		totals->live_blocks += snapshot->sites[i].live_blocks;
		totals->total_bytes += snapshot->sites[i].total_bytes;
		totals->total_allocations += snapshot->sites[i].total_allocations;
		totals->total_frees += snapshot->sites[i].total_frees;
		totals->temporary += snapshot->sites[i].temporary;
		totals->peak_bytes += snapshot->sites[i].peak_bytes;
	}
	totals->unknown_frees = 12345;
	totals->peak_time = 3201;
	snapshot->process = (struct capture_process){
		.rss = 20 * MIB,
		.pss = 19 * MIB,
		.vsz = 64 * MIB,
		.hwm = 21 * MIB,
		.minor_faults = 12345,
		.major_faults = 3,
		.threads = 5,
		.heap_rss = 12 * MIB,
		.anonymous_rss = 5 * MIB,
		.stack_rss = 200000,
		.file_rss = 3 * MIB,
		.cgroup_limit = 64 * MIB,
		.cgroup_usage = 50 * MIB,
		.known = true,
	};
	snapshot->diagnosis = zeroed(1, sizeof(*snapshot->diagnosis));
	snapshot->diagnosis[0] = copy("RSS grew by 12.1 MiB in 5.0 s, and the program holds it.");
	snapshot->diagnosis_n = 1;
}

static void add_timeline(struct capture *capture)
{
	capture->timeline_n = 3;
	capture->timeline = zeroed(capture->timeline_n, sizeof(*capture->timeline));
	for (u32 i = 0; i < capture->timeline_n; i++)
		capture->timeline[i] = (struct timeline_point){
			.time = 1001 * i, .live_bytes = 1000 * i, .live_blocks = i, .rss = MIB * i};
}

struct capture *capture_sample(void)
{
	struct capture *capture = zeroed(1, sizeof(*capture));

	capture->version = copy("0.1.0");
	capture->target.pid = 1234;
	capture->target.exe = copy(REDIS);
	capture->target.host = copy("db7");
	capture->target.start_time = 1763718000.25;
	capture->target.command_n = 2;
	capture->target.command = zeroed(2, sizeof(*capture->target.command));
	capture->target.command[0] = copy("redis-server");
	capture->target.command[1] = copy("*:6379");
	capture->settings.probe = copy("trap");
	capture->settings.unwind = copy("table");
	capture->settings.depth = 64;
	capture->settings.allocators_n = 1;
	capture->settings.allocators = zeroed(1, sizeof(*capture->settings.allocators));
	capture->settings.allocators[0] = copy(LIBC);
	add_frames(capture);
	add_stacks(capture);
	add_timeline(capture);
	capture->snapshots = zeroed(2, sizeof(*capture->snapshots));
	capture->snapshots_n = capture->snapshots_cap = 2;
	for (u32 i = 0; i < 2; i++) {
		capture->snapshots[i].number = i + 1;
		capture->snapshots[i].time = i ? 5.003 : 2.5;
		capture->snapshots[i].reason = i ? CAPTURE_DETACH : CAPTURE_SIGNAL;
		add_snapshot(capture, &capture->snapshots[i]);
	}
	return capture;
}

/* A standard error for a figure: of a hundredth, but of the whole for a small one. */
static u64 error_of(u64 figure)
{
	return figure < 10000 ? figure : figure / 100;
}

struct capture *capture_sample_estimated(void)
{
	struct capture *capture = capture_sample();

	capture->settings.sample_bytes = 512 << 10;
	for (u32 i = 0; i < 2; i++) {
		struct capture_snapshot *snapshot = &capture->snapshots[i];
		struct ledger_totals *t = &snapshot->totals;

		snapshot->estimated = true;
		t->unknown_frees = t->temporary = 0;
		t->recorded_allocations = 32991;
		t->live_bytes_error = error_of(t->live_bytes);
		t->live_blocks_error = error_of(t->live_blocks);
		t->peak_bytes_error = error_of(t->peak_bytes) + 1;
		t->total_bytes_error = error_of(t->total_bytes);
		t->total_allocations_error = error_of(t->total_allocations);
		t->total_frees_error = error_of(t->total_frees);
		t->temporary_error = 17;
		for (u32 k = 0; k < snapshot->sites_n; k++) {
			struct capture_site *site = &snapshot->sites[k];

			site->temporary = 0;
			site->live_bytes_error = error_of(site->live_bytes);
			site->live_blocks_error = error_of(site->live_blocks);
			site->total_bytes_error = error_of(site->total_bytes);
			site->total_allocations_error = error_of(site->total_allocations);
		}
	}
	return capture;
}
