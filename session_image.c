// SPDX-License-Identifier: MIT
#include "session_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/vec.h"
#include "proc/available.h"
#include "proc/maps.h"
#include "session_scan.h"
#include "session_unwinder.h"

/* Less than this would be of no use: some hundred thousand blocks. */
#define BOOKS_LEAST (16UL << 20)

/*
 * The target decides how much there is to remember, and may be hostile: half of what this machine, or
 * the container that we run in, has left, so that nobody is killed for it.
 */
static size_t most_memory(void)
{
	u64 half = available_memory() / 2;

	return half < BOOKS_LEAST ? BOOKS_LEAST : half;
}

static int create_books(struct image *image, struct err *err)
{
	image->books_max = most_memory();
	image->ledger = ledger_create(err);
	if (image->ledger)
		ledger_set_sample(image->ledger, image->config->sample);
	image->stacks = stacks_create(err);
	image->timeline = timeline_create(err);
	image->modules = modules_create(image->pid, err);
	if (!image->ledger || !image->stacks || !image->timeline || !image->modules)
		return -ENOMEM;
	image->unwinder = unwinder_create(image->config->unwind, image->pid, &image->reader, err);
	return image->unwinder ? 0 : -ENOMEM;
}

struct image *image_create(const struct session_config *config, pid_t pid, bool whole_life,
			   struct err *err)
{
	struct image *image = calloc(1, sizeof(*image));
	struct timespec now;

	if (!image) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	image->config = config;
	image->pid = pid;
	image->whole_life = whole_life;
	image->memory.fd = -1;
	consumer_init(&image->consumer);
	image->start_ns = clock_ns();
	clock_gettime(CLOCK_REALTIME, &now);
	image->start_time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	image->reader = proc_mem_reader(&image->memory);
	if (proc_mem_open(&image->memory, pid, err) ||
	    proc_identity_read(&image->identity, pid, err) ||
	    proc_sampler_init(&image->sampler, pid, err))
		goto fail;
	image->sampling = true;
	if (create_books(image, err) || image_update(image, err))
		goto fail;
	/* Figures to compare with later; a process that ends now is noticed when it is seized. */
	proc_usage_read(&image->usage_at_start, pid, NULL);
	return image;
fail:
	image_destroy(image);
	return NULL;
}

void image_destroy(struct image *image)
{
	if (!image)
		return;
	consumer_stop(&image->consumer, true);
	probes_destroy(image->probes);
	unwinder_destroy(image->unwinder);
	modules_destroy(image->modules);
	timeline_destroy(image->timeline);
	stacks_destroy(image->stacks);
	ledger_destroy(image->ledger);
	if (image->sampling)
		proc_sampler_deinit(&image->sampler);
	proc_identity_deinit(&image->identity);
	proc_mem_close(&image->memory);
	for (size_t i = 0; i < image->candidates_n; i++)
		free((char *)image->candidates[i].name);
	free(image->candidates);
	free(image->known);
	free(image->barren);
	free(image->allocators);
	free(image);
}

static bool is_barren(const struct image *image, const struct module *module)
{
	for (size_t i = 0; i < image->barren_n; i++)
		if (image->barren[i].start == module->start &&
		    image->barren[i].inode == module->inode && image->barren[i].dev == module->dev)
			return true;
	return false;
}

static void prepare_module(struct image *image, const struct module *module)
{
	const struct module *known = modules_at(image->modules, module->text_start);

	if (module->fd < 0 || (known && known->start == module->start &&
			       known->inode == module->inode && known->dev == module->dev))
		return;
	unwinder_prepare(image->unwinder, module->fd);
	if (scan_is_barren(image, module) &&
	    vec_reserve((void **)&image->barren, &image->barren_cap, image->barren_n + 1,
			sizeof(*image->barren)) == 0)
		image->barren[image->barren_n++] =
			(struct barren_module){module->start, module->inode, module->dev};
}

void image_prepare(struct image *image)
{
	struct modules *modules = modules_create(image->pid, NULL);
	struct maps maps;
	bool changed;

	image->barren_n = 0;
	if (modules && maps_read(&maps, image->pid, NULL) == 0) {
		if (modules_update(modules, &maps, &changed, NULL) == 0)
			for (u32 id = 1; id <= modules_count(modules); id++)
				prepare_module(image, modules_get(modules, id));
		maps_deinit(&maps);
	}
	modules_destroy(modules);
}

static int add_module(struct image *image, const struct module *module, struct err *err)
{
	struct unwind_module unwind = session_unwind_module(module);
	int ret = unwinder_add_module(image->unwinder, &unwind, err);

	log_verbose(&image->config->log, "module %s at %#lx", module->path, module->start);
	if (ret == 0 && image->probes)
		ret = probes_module_added(image->probes, module->id, module->start, module->end,
					  err);
	if (ret == 0 && !is_barren(image, module))
		ret = scan_module(image, module, err);
	return ret;
}

static void remove_module(struct image *image, const struct module *module)
{
	log_verbose(&image->config->log, "module %s is gone", module->path);
	unwinder_remove_module(image->unwinder, module->id);
	if (image->probes)
		probes_forget_module(image->probes, module->id);
	scan_forget(image, module->id);
}

/* Compares what is mapped with what was when we last looked. */
static int apply_changes(struct image *image, struct err *err)
{
	u32 n = modules_count(image->modules);
	bool gone = false;
	u32 *known = realloc(image->known, ((size_t)n + 1) * sizeof(*known));

	if (!known)
		return err_set(err, ENOMEM, "out of memory");
	image->known = known;
	for (; image->known_cap < (size_t)n + 1; image->known_cap++)
		image->known[image->known_cap] = false;
	/* Those that are gone first: another may be mapped in their place. */
	for (u32 id = 1; id <= n; id++) {
		const struct module *module = modules_get(image->modules, id);

		if (image->known[id] && !module->mapped) {
			remove_module(image, module);
			image->known[id] = false;
			gone = true;
		}
	}
	if (gone && image->probes && probes_reader(image->probes))
		ring_reader_forget_stacks(probes_reader(image->probes));
	for (u32 id = 1; id <= n; id++) {
		const struct module *module = modules_get(image->modules, id);
		int ret;

		if (image->known[id] || !module->mapped)
			continue;
		ret = add_module(image, module, err);
		if (ret)
			return ret;
		image->known[id] = true;
	}
	return 0;
}

/* Where the dynamic linker tells of changes; it may not have been mapped before. */
static void find_rendezvous(struct image *image)
{
	const struct module *linker;

	if (image->r_debug.brk)
		return;
	if (r_debug_find(image->modules, &image->reader, &image->r_debug, NULL))
		return;
	linker = modules_at(image->modules, image->r_debug.brk);
	if (!linker || !image->probes)
		return;
	if (probes_add_rendezvous(image->probes, image->r_debug.brk, linker->id, NULL))
		log_warn(&image->config->log, "modules that are loaded later will not be noticed");
}

int image_update(struct image *image, struct err *err)
{
	struct maps maps;
	bool changed;
	int ret;

	ret = maps_read(&maps, image->pid, err);
	if (ret)
		return ret;
	ret = modules_update(image->modules, &maps, &changed, err);
	maps_deinit(&maps);
	if (ret || !changed)
		return ret;
	ret = apply_changes(image, err);
	image->barren_n = 0;
	if (ret)
		return ret;
	find_rendezvous(image);
	if (!image->probes)
		return 0;
	probes_publish(image->probes);
	return scan_add(image, err);
}

/*
 * Displaced instructions need memory near the modules that will have most
 * breakpoints: the program itself and each allocator.
 */
static void prepare_areas(struct image *image)
{
	const struct module *main = NULL;
	struct err err = ERR_INIT;

	for (u32 id = 1; id <= modules_count(image->modules) && !main; id++)
		if (modules_get(image->modules, id)->is_main)
			main = modules_get(image->modules, id);
	if (tracee_hold(image->tracee, &err) == 0) {
		if (main)
			probes_prepare(image->probes, main->text_start, &err);
		for (size_t i = 0; i < image->candidates_n; i++)
			probes_prepare(image->probes, image->candidates[i].address, &err);
	}
	tracee_unhold(image->tracee, NULL);
	if (err.code)
		log_verbose(&image->config->log, "breakpoints will be stepped over: %s", err.msg);
}

static int create_probes(struct image *image, struct tracee *tracee, u64 *unfinished,
			 struct err *err)
{
	static const enum probes_mode modes[] = {
		[SESSION_PROBE_AUTO] = PROBES_AUTO,
		[SESSION_PROBE_JUMP] = PROBES_JUMP,
		[SESSION_PROBE_TRAP] = PROBES_TRAP,
	};
	struct probes_config config = {
		.depth = image->config->depth,
		.sample = image->config->sample,
		.mode = modes[image->config->probe],
		.log = image->config->log,
	};
	struct probe_host host = image_host;

	/* The agent walks by tables only. */
	if (image->config->unwind != UNWIND_TABLE)
		config.mode = PROBES_TRAP;
	host.ctx = image;
	image->tracee = tracee;
	image->probes = probes_create(tracee, image->unwinder, &config, &host, err);
	if (!image->probes)
		return -ENOMEM;
	probes_set_entry(image->probes, image->identity.entry, unfinished);
	return 0;
}

int image_plant(struct image *image, struct tracee *tracee, u64 *unfinished, struct err *err)
{
	const struct module *linker;
	int ret = create_probes(image, tracee, unfinished, err);

	if (ret)
		return ret;
	if (!image->whole_life)
		prepare_areas(image);
	linker = modules_at(image->modules, image->r_debug.brk);
	if (linker) {
		ret = probes_add_rendezvous(image->probes, image->r_debug.brk, linker->id, err);
		/* From here on no module comes or goes but by our leave. */
		if (ret == 0)
			ret = probes_plant(image->probes, err);
		if (ret)
			return ret;
	}
	/* What was mapped between the first look and the seizing. */
	ret = image_update(image, err);
	if (ret == 0)
		ret = scan_add(image, err);
	/* Before the first breakpoint is planted: what can be a jump never becomes one. */
	if (ret == 0 && !image->whole_life)
		ret = image_improve(image, NULL, err);
	return ret ? ret : probes_plant(image->probes, err);
}

int image_improve(struct image *image, struct thread *thread, struct err *err)
{
	int ret = probes_improve(image->probes, thread, err);

	if (ret == 0 && probes_reader(image->probes) && !image->consumer.running)
		ret = consumer_start(&image->consumer, probes_reader(image->probes),
				     image->config->sample, err);
	return ret;
}

void image_note_losses(struct image *image)
{
	struct ring_reader *reader = image->probes ? probes_reader(image->probes) : NULL;
	const char *why;

	if (!reader)
		return;
	image->lost_in_ring = ring_reader_lost(reader, &why);
	if (why)
		image->lost_why = why;
}

void image_finish(struct image *image)
{
	consumer_stop(&image->consumer, image_is_gone(image));
	image_note_losses(image);
	if (image->probes && probes_reader(image->probes))
		log_verbose(&image->config->log, "%llu records came through the ring",
			    (unsigned long long)ring_reader_records(probes_reader(image->probes)));
	if (image->lost_events + image->lost_in_ring && image->lost_why)
		log_warn(&image->config->log, "events were lost: %s", image->lost_why);
}

bool image_is_gone(const struct image *image)
{
	return proc_mem_is_gone(&image->memory);
}

u32 image_now(const struct image *image)
{
	return (u32)((clock_ns() - image->start_ns) / 1000000);
}

void image_sample(struct image *image)
{
	struct timeline_point point;
	struct ledger_totals totals;
	struct proc_sample sample;

	if (proc_sampler_read(&image->sampler, &sample))
		return;
	ledger_totals(image->ledger, &totals);
	point = (struct timeline_point){
		.time = image_now(image),
		.live_bytes = totals.live_bytes,
		.live_blocks = totals.live_blocks,
		.rss = sample.vm_rss,
		.vsz = sample.vm_size,
		.swap = sample.vm_swap,
		.minor_faults = sample.minor_faults,
		.major_faults = sample.major_faults,
	};
	timeline_add(image->timeline, &point);
}
