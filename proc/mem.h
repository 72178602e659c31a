/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_MEM_H
#define MEMATTACH_PROC_MEM_H

#include "base/err.h"
#include "base/reader.h"
#include "base/types.h"

/*
 * Memory of a process: read with process_vm_readv, which needs no stop; written
 * through /proc/PID/mem, which also writes to read-only private mappings (the
 * kernel breaks copy-on-write, the file stays as it is).
 */
struct proc_mem {
	pid_t pid;
	int fd; /* /proc/PID/mem; -1: not open */
};

/* Opens /proc/PID/mem for reading and writing. 0 or -errno with err filled. */
int proc_mem_open(struct proc_mem *mem, pid_t pid, struct err *err);
void proc_mem_close(struct proc_mem *mem);

/* Copies up to len bytes; returns how many, or -errno when none could be read. */
ssize_t proc_mem_read(const struct proc_mem *mem, u64 addr, void *buf, size_t len);

/* All len bytes at addr: 0, or -errno (-EIO for a short write; -ESRCH if the process is gone). */
int proc_mem_write(const struct proc_mem *mem, u64 addr, const void *buf, size_t len);

/* Whether the address space that mem was opened on has ended, by exit or exec. */
bool proc_mem_is_gone(const struct proc_mem *mem);

/* A reader over mem, which is borrowed. */
struct mem_reader proc_mem_reader(const struct proc_mem *mem);

#endif
