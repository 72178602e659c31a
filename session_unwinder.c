// SPDX-License-Identifier: MIT
#include "session_unwinder.h"

#include "proc/maps.h"

struct unwind_module session_unwind_module(const struct module *module)
{
	return (struct unwind_module){
		.id = module->id,
		.start = module->start,
		.end = module->end,
		.bias = module->bias,
		.fd = module->fd,
		.path = module->path,
	};
}

static int add_modules(struct session_unwinder *walks)
{
	int ret = 0;

	for (u32 id = 1; id <= modules_count(walks->modules) && !ret; id++) {
		const struct module *module = modules_get(walks->modules, id);
		struct unwind_module unwind = session_unwind_module(module);

		ret = unwinder_add_module(walks->unwinder, &unwind, NULL);
	}
	return ret;
}

struct unwinder *session_unwinder_make(void *ctx)
{
	struct session_unwinder *walks = ctx;
	struct maps maps;
	bool changed;
	int ret;

	if (proc_mem_open(&walks->mem, walks->pid, NULL))
		return NULL;
	walks->reader = proc_mem_reader(&walks->mem);
	walks->modules = modules_create(walks->pid, NULL);
	walks->unwinder = unwinder_create(UNWIND_TABLE, walks->pid, &walks->reader, NULL);
	if (walks->modules && walks->unwinder && maps_read(&maps, walks->pid, NULL) == 0) {
		ret = modules_update(walks->modules, &maps, &changed, NULL);
		maps_deinit(&maps);
		if (ret == 0 && add_modules(walks) == 0)
			return walks->unwinder;
	}
	session_unwinder_free(walks);
	return NULL;
}

void session_unwinder_free(struct session_unwinder *walks)
{
	unwinder_destroy(walks->unwinder);
	/* Without modules nothing has been made. */
	if (walks->modules)
		proc_mem_close(&walks->mem);
	modules_destroy(walks->modules);
	walks->unwinder = NULL;
	walks->modules = NULL;
}
