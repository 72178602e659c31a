// SPDX-License-Identifier: MIT
#include "session_records.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/guard.h"
#include "base/vec.h"

/*
 * What a child leaves in its memfd: this, then sites_n struct ledger_site. It
 * is written and read by the same program, and nobody else has the descriptor.
 */
struct saved {
	bool complete;
	struct err err;
	struct session_record record; /* its pointers mean nothing here */
};

struct records {
	struct session_record *items; /* numbered snapshots of this image, oldest first */
	size_t n, cap;
	int pending; /* memfd of the child under way; -1: none */
};

struct records *records_create(struct err *err)
{
	struct records *records = calloc(1, sizeof(*records));

	if (!records) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	records->pending = -1;
	return records;
}

static void forget(struct session_record *record)
{
	free(record->sites);
	diagnosis_deinit(&record->diagnosis);
}

void records_destroy(struct records *records)
{
	if (!records)
		return;
	for (size_t i = 0; i < records->n; i++)
		forget(&records->items[i]);
	free(records->items);
	if (records->pending >= 0)
		close(records->pending);
	free(records);
}

static int diagnose_record(const struct image *image, struct session_record *record)
{
	const struct ledger_totals *t = &record->totals;
	struct diagnosis_input in = {
		.now = record->usage,
		.at_attach = image->usage_at_start,
		.seconds = record->now / 1000.0,
		.live_bytes = t->live_bytes,
		.live_blocks = t->live_blocks,
		.peak_bytes = t->peak_bytes,
		.total_allocations = t->total_allocations,
		.total_frees = t->total_frees,
		.unknown_frees = t->unknown_frees,
		.temporary = t->temporary,
		.lost_events = record->lost_events,
		.whole_life = image->whole_life,
		.sampled = image->config->sample != 0,
		.live_bytes_error = t->live_bytes_error,
	};

	if (record->usage_known && record->usage.swap > image->usage_at_start.swap)
		in.swap_out_delta = record->usage.swap - image->usage_at_start.swap;
	return diagnose(&record->diagnosis, &in);
}

/* Adds up the ledger and asks /proc. */
static int take(struct image *image, enum session_reason reason, u32 number,
		struct session_record *record, struct err *err)
{
	*record = (struct session_record){
		.number = number,
		.reason = reason,
		.now = image_now(image),
		.lost_events = image->lost_events,
	};
	ledger_totals(image->ledger, &record->totals);
	record->lost_events += record->totals.replaced + image->lost_in_ring;
	/* What was read while the memory was there is better than asking a zombie, or the next image. */
	if (image->last_usage_known || reason == SESSION_EXIT || reason == SESSION_EXEC) {
		record->usage = image->last_usage;
		record->usage_known = image->last_usage_known;
	} else {
		record->usage_known = proc_usage_read(&record->usage, image->pid, NULL) == 0;
	}
	return ledger_sites(image->ledger, record->now, &record->sites, &record->sites_n, err);
}

static int report(struct records *records, struct image *image, u32 image_number, struct err *err)
{
	struct session_view view = {
		.pid = image->pid,
		.identity = &image->identity,
		.start_time = image->start_time,
		.whole_life = image->whole_life,
		.image = image_number,
		.modules = image->modules,
		.stacks = image->stacks,
		.timeline = image->timeline,
		.allocators = image->allocators,
		.allocators_n = image->allocators_n,
		.records = records->items,
		.records_n = records->n,
	};

	/* Not when it was taken: text does not travel through a memfd. */
	for (size_t i = 0; i < records->n; i++)
		if (!records->items[i].diagnosis.n && diagnose_record(image, &records->items[i]))
			return err_set(err, ENOMEM, "out of memory");
	return image->config->report(image->config->ctx, &view, err);
}

int records_now(struct records *records, struct image *image, enum session_reason reason,
		u32 number, u32 image_number, struct err *err)
{
	struct session_record record;
	int ret;

	image_sample(image);
	ret = take(image, reason, number, &record, err);
	if (ret)
		return ret;
	if (vec_reserve((void **)&records->items, &records->cap, records->n + 1,
			sizeof(*records->items))) {
		forget(&record);
		return err_set(err, ENOMEM, "out of memory");
	}
	records->items[records->n++] = record;
	return report(records, image, image_number, err);
}

static int write_all(int fd, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

/* The child's life. */
static void make_snapshot(struct records *records, struct image *image, enum session_reason reason,
			  u32 number, u32 image_number)
{
	int fd = records->pending;
	struct saved *saved = calloc(1, sizeof(*saved));
	size_t n = records->n;
	const struct session_record *record = NULL;
	int ret;

	if (!saved)
		_exit(125);
	ret = records_now(records, image, reason, number, image_number, &saved->err);
	if (records->n > n) {
		record = &records->items[n];
		saved->record = *record;
		saved->complete = true;
	}
	if (write_all(fd, saved, sizeof(*saved)) ||
	    (record && write_all(fd, record->sites, record->sites_n * sizeof(*record->sites))))
		_exit(125);
	_exit(ret ? 125 : 0);
}

int records_fork(struct records *records, struct image *image, enum session_reason reason,
		 u32 number, u32 image_number, pid_t *child, struct err *err)
{
	records->pending = memfd_create("memattach-snapshot", MFD_CLOEXEC);
	if (records->pending < 0)
		return err_sys(err, errno, "cannot make a snapshot");
	*child = fork();
	if (*child < 0) {
		int code = errno;

		close(records->pending);
		records->pending = -1;
		return err_sys(err, code, "cannot make a snapshot");
	}
	if (*child == 0)
		make_snapshot(records, image, reason, number, image_number);
	return 0;
}

static int read_back(struct session_record *record, int fd, struct saved *saved)
{
	size_t len;

	*record = saved->record;
	memset(&record->diagnosis, 0, sizeof(record->diagnosis));
	len = record->sites_n * sizeof(*record->sites);
	record->sites = malloc(len ? len : 1);
	if (!record->sites)
		return -ENOMEM;
	if (pread(fd, record->sites, len, sizeof(*saved)) != (ssize_t)len) {
		free(record->sites);
		return -EIO;
	}
	return 0;
}

int records_finished(struct records *records, int status, struct err *err)
{
	_cleanup_close_ int fd = records->pending;
	_cleanup_free_ struct saved *saved = malloc(sizeof(*saved));

	records->pending = -1;
	if (!saved || pread(fd, saved, sizeof(*saved), 0) != (ssize_t)sizeof(*saved))
		return err_set(err, EIO, "a snapshot was not made: its process %s",
			       WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "failed");
	if (saved->complete &&
	    vec_reserve((void **)&records->items, &records->cap, records->n + 1,
			sizeof(*records->items)) == 0 &&
	    read_back(&records->items[records->n], fd, saved) == 0)
		records->n++;
	if (saved->err.code)
		return err_set(err, saved->err.code, "%s", saved->err.msg);
	return 0;
}
