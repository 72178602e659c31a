// SPDX-License-Identifier: MIT
#include "probe/channel_map.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include "base/clock.h"
#include "base/guard.h"
#include "unwind/table.h"

#define PAGE       4096UL
#define ROWS_BYTES (12UL << 20)
#define RING_BYTES (sizeof(struct channel_record) << CHANNEL_RING_BITS)

#define CHANNEL_PATH "/memfd:" CHANNEL_NAME

/* Long enough to know the clock rate to a percent. */
#define CALIBRATE_NS 200000

static u64 place_of(u64 *end, u64 size)
{
	u64 at = *end;

	*end += (size + PAGE - 1) & ~(PAGE - 1);
	return at;
}

/* The offsets of all parts; returns the size of the whole. */
static u64 lay_out(struct channel *channel)
{
	u64 end = CHANNEL_RING_AT + RING_BYTES;

	channel->threads = place_of(&end, CHANNEL_THREADS * sizeof(struct channel_thread));
	channel->known = place_of(&end, CHANNEL_KNOWN * sizeof(u64));
	channel->rules = place_of(&end, CHANNEL_RULES * sizeof(u64));
	channel->ranges = place_of(&end, CHANNEL_RANGES * sizeof(u64));
	channel->memos = place_of(&end, channel_memo_at(CHANNEL_MEMOS));
	channel->filter = place_of(&end, CHANNEL_FILTER);
	channel->modules = place_of(&end, 2 * CHANNEL_MODULES * sizeof(struct channel_module));
	channel->rows = place_of(&end, ROWS_BYTES);
	channel->rows_max = ROWS_BYTES / sizeof(struct unwind_row);
	channel->size = end;
	return end;
}

static u64 cycles_per_second(void)
{
	u64 start = clock_ns(), from = __rdtsc(), now;

	do
		now = clock_ns();
	while (now - start < CALIBRATE_NS);
	return (u64)((double)(__rdtsc() - from) * 1e9 / (double)(now - start));
}

static void fill(struct channel *channel, const struct channel *layout,
		 const struct channel_settings *settings)
{
	*channel = *layout;
	channel->magic = CHANNEL_MAGIC;
	channel->second = cycles_per_second();
	channel->depth = settings->depth;
	channel->sample = settings->sample;
	/* Where there is no randomness to be had yet, any number does: it keeps nobody out. */
	if (getrandom(&channel->seed, sizeof(channel->seed), GRND_NONBLOCK) < 0)
		channel->seed = clock_ns();
}

/*
 * The target's descriptor as one of ours: the same open file, so that nothing can be
 * done to it that the target could not do. The target may be hostile, and may have put
 * another file in its place: what we get must be a memfd without seals. -errno.
 */
static int take_descriptor(pid_t pid, s64 fd)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), ours, code;

	if (pidfd < 0)
		return -errno;
	ours = (int)syscall(SYS_pidfd_getfd, pidfd, (int)fd, 0);
	code = errno;
	close(pidfd);
	if (ours < 0)
		return -code;
	if (fcntl(ours, F_GET_SEALS) == 0)
		return ours;
	close(ours);
	return -EBADF;
}

/* From here on its size is what it is: memory of ours that shrinks would be a SIGBUS. */
static int fix_size(int fd, size_t size)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	int ret;

	/* Where a limit for files forbids it an error is enough. */
	if (sigaction(SIGXFSZ, &ignore, &before))
		return -errno;
	ret = ftruncate(fd, (off_t)size) ? -errno : 0;
	if (sigaction(SIGXFSZ, &before, NULL) && !ret)
		ret = -errno;
	if (!ret && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		ret = -errno;
	return ret;
}

/* Descriptor fd of the target as one of ours, for memory of this size. -errno. */
static int share(pid_t pid, s64 fd, size_t size, struct err *err)
{
	int ours = take_descriptor(pid, fd), ret;

	if (ours < 0)
		return err_sys(err, -ours, "cannot share memory with the target");
	ret = fix_size(ours, size);
	if (ret) {
		close(ours);
		return err_sys(err, -ret, "cannot make room for the channel");
	}
	return ours;
}

/* Our side. All pages are touched, which takes milliseconds. */
static int map_ours(struct channel_map *map, int fd, size_t size, struct err *err)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

	if (memory == MAP_FAILED)
		return err_sys(err, errno, "cannot map the channel");
	/* Reports are made by forked copies, which have no business with it. */
	madvise(memory, size, MADV_DONTFORK);
	map->ours = memory;
	return 0;
}

static int map_theirs(struct channel_map *map, const struct inject_place *place, s64 fd,
		      size_t size, struct err *err)
{
	struct remote_call mmap_call = {
		.number = SYS_mmap,
		.args = {0, size, PROT_READ | PROT_WRITE, MAP_SHARED, (u64)fd, 0},
	};
	struct remote_call advise = {.number = SYS_madvise};
	s64 result;
	int ret = inject_checked(place, &mmap_call, "map the channel", &result, err);

	if (ret)
		return ret;
	map->theirs = (u64)result;
	advise.args[0] = map->theirs;
	advise.args[1] = size;
	advise.args[2] = MADV_DONTFORK;
	return inject_checked(place, &advise, "keep the channel from its children", &result, err);
}

static int close_theirs(const struct inject_place *place, s64 fd, struct err *err)
{
	struct remote_call call = {.number = SYS_close, .args = {(u64)fd}};
	s64 result;

	return inject_checked(place, &call, "close a descriptor of ours", &result, err);
}

/* What has to be done in the target. Returns our descriptor, or -errno; then all is as before. */
static int make_theirs(struct channel_map *map, const struct inject_place *place, size_t size,
		       struct err *err)
{
	char name[] = CHANNEL_NAME;
	struct remote_call create = {
		.number = SYS_memfd_create,
		.args = {REMOTE_DATA, MFD_CLOEXEC | MFD_ALLOW_SEALING},
		.data = {name, sizeof(name)},
	};
	int ours, ret, undo;
	s64 fd;

	ret = inject_checked(place, &create, "make the channel", &fd, err);
	if (ret)
		return ret;
	map->fd = fd;
	ours = share(place->mem->pid, fd, size, err);
	ret = ours < 0 ? ours : map_theirs(map, place, fd, size, err);
	undo = close_theirs(place, fd, ret ? NULL : err);
	if (!ret)
		ret = undo;
	if (ret == 0)
		return ours;
	channel_map_remove(map, place, NULL);
	if (ours >= 0)
		close(ours);
	return ret;
}

int channel_map_create(struct channel_map *map, struct inject_place *place,
		       const struct channel_settings *settings, struct err *err)
{
	struct channel layout = {0};
	size_t size = lay_out(&layout);
	int fd, ret;

	*map = (struct channel_map){.size = size};
	/* No other thread sees the descriptor, or has a child that inherits it or the mapping. */
	ret = inject_begin(place, err);
	if (ret)
		return ret;
	fd = make_theirs(map, place, size, err);
	inject_end(place);
	if (fd < 0)
		return fd;
	ret = map_ours(map, fd, size, err);
	close(fd);
	if (ret) {
		if (inject_begin(place, NULL) == 0) {
			channel_map_remove(map, place, NULL);
			inject_end(place);
		}
		return ret;
	}
	fill(map->ours, &layout, settings);
	map->threads = (struct channel_thread *)((char *)map->ours + layout.threads);
	map->filter = (u8 *)map->ours + layout.filter;
	return 0;
}

int channel_map_remove(struct channel_map *map, const struct inject_place *place, struct err *err)
{
	struct remote_call call = {.number = SYS_munmap, .args = {map->theirs, map->size}};
	s64 result;
	int ret;

	if (!map->theirs)
		return 0;
	ret = inject_checked(place, &call, "unmap the channel", &result, err);
	if (ret == 0)
		map->theirs = 0;
	return ret;
}

int channel_map_clean_child(const struct channel_map *map, const struct inject_place *place,
			    struct err *err)
{
	char path[64], to[64];
	ssize_t n;

	if (!map->ours)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)place->tid, (int)map->fd);
	n = readlink(path, to, sizeof(to) - 1);
	to[n > 0 ? n : 0] = '\0';
	if (strncmp(to, CHANNEL_PATH, sizeof(CHANNEL_PATH) - 1) != 0)
		return 0;
	return close_theirs(place, map->fd, err);
}

struct channel_thread *channel_map_thread(const struct channel_map *map, u64 key)
{
	for (u32 i = 0; i < CHANNEL_THREAD_PROBES && key && map->ours; i++) {
		struct channel_thread *entry =
			&map->threads[(channel_thread_first(key) + i) % CHANNEL_THREADS];

		if (__atomic_load_n(&entry->key, __ATOMIC_RELAXED) == key)
			return entry;
	}
	return NULL;
}

u64 channel_map_memo(const struct channel_map *map, u64 memo)
{
	/* As we have laid it out: what the target has made of it does not count. */
	struct channel layout = {0};

	lay_out(&layout);
	return channel_memo_number(memo - map->theirs - layout.memos);
}

int channel_map_keep_work(const struct channel_map *map, u64 key, struct channel_work *work)
{
	const struct channel_thread *entry = channel_map_thread(map, key);
	u64 memo =
		channel_map_memo(map, entry ? __atomic_load_n(&entry->memo, __ATOMIC_RELAXED) : 0);
	struct channel layout = {0};
	const char *at;

	channel_work_deinit(work);
	if (memo == CHANNEL_MEMOS)
		return 0;
	lay_out(&layout);
	work->offset = layout.memos + channel_memo_at(memo);
	work->size = channel_memo_at(memo + 1) - channel_memo_at(memo);
	at = (const char *)map->ours + work->offset;
	/* Whose walk has not taken them yet begins anew, and finds nothing in them. */
	if (!__atomic_load_n((const u64 *)(at + CHANNEL_MEMO_BUSY), __ATOMIC_RELAXED))
		return 0;
	work->memos = malloc(work->size);
	if (!work->memos)
		return -ENOMEM;
	memcpy(work->memos, at, work->size);
	return 0;
}

void channel_work_deinit(struct channel_work *work)
{
	free(work->memos);
	*work = (struct channel_work){0};
}

int channel_map_for_child(const struct channel_map *map, const struct inject_place *place,
			  const struct channel_work *work, struct err *err)
{
	struct remote_call call = {
		.number = SYS_mmap,
		.args = {map->theirs, map->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, (u64)-1,
			 0},
	};
	struct channel copy;
	s64 result;
	int ret;

	if (!map->ours || !map->theirs)
		return 0;
	ret = inject_checked(place, &call, "map memory for a call under way", &result, err);
	if (ret)
		return ret;
	/* Tables that are empty, and a ring that nobody reads, with room for what is still to come. */
	copy = *map->ours;
	copy.tail = copy.head;
	copy.modules_n[0] = copy.modules_n[1] = 0;
	ret = proc_mem_write(place->mem, map->theirs, &copy, sizeof(copy));
	if (ret == 0 && work && work->memos)
		ret = proc_mem_write(place->mem, map->theirs + work->offset, work->memos,
				     work->size);
	return ret ? err_sys(err, -ret, "cannot write to forked process %d", (int)place->tid) : 0;
}

void channel_map_deinit(struct channel_map *map)
{
	if (map->ours)
		munmap(map->ours, map->size);
	map->ours = NULL;
}

bool channel_is_map(const struct map *map)
{
	return map->shared && strcmp(map->path, CHANNEL_PATH) == 0;
}
