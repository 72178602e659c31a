// SPDX-License-Identifier: MIT
/*
 * Maps things on demand, one command a line, and says where they are:
 *
 *	open PATH     dlopen, the address of lib_function; "close" undoes the last one
 *	new PATH      the same with dlmopen, in a new namespace
 *	text PATH     maps a file private and executable; "shared PATH" shared
 *	unmap         undoes the last text or shared
 *	exec PATH     becomes another program
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "talk.h"

#define OPEN_MAX_HANDLES 16

static void *handles[OPEN_MAX_HANDLES];
static int n_handles;
static void *mapped;
static size_t mapped_len;

static void open_library(const char *path, Lmid_t namespace)
{
	void *handle = dlmopen(namespace, path, RTLD_NOW);

	if (!handle || n_handles == OPEN_MAX_HANDLES)
		hurt("cannot open %s: %s", path, dlerror());
	handles[n_handles++] = handle;
	say("%lx", (unsigned long)dlsym(handle, "lib_function"));
}

static void map_file(const char *path, int flags)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) < 0)
		hurt("cannot open %s", path);
	mapped_len = (size_t)st.st_size;
	mapped = mmap(NULL, mapped_len, PROT_READ | PROT_EXEC, flags, fd, 0);
	close(fd);
	if (mapped == MAP_FAILED)
		hurt("cannot map %s", path);
	say("%lx", (unsigned long)mapped);
}

int main(void)
{
	const char *line, *arg;

	say("ready");
	while ((line = hear())) {
		if ((arg = after(line, "open"))) {
			open_library(arg, LM_ID_BASE);
		} else if ((arg = after(line, "new"))) {
			open_library(arg, LM_ID_NEWLM);
		} else if (after(line, "close")) {
			say("%d", n_handles ? dlclose(handles[--n_handles]) : -1);
		} else if ((arg = after(line, "text"))) {
			map_file(arg, MAP_PRIVATE);
		} else if ((arg = after(line, "shared"))) {
			map_file(arg, MAP_SHARED);
		} else if (after(line, "unmap")) {
			say("%d", munmap(mapped, mapped_len));
		} else if ((arg = after(line, "exec"))) {
			execl(arg, arg, (char *)NULL);
			hurt("cannot run %s", arg);
		} else {
			hurt("what is \"%s\"?", line);
		}
	}
	return 0;
}
