// SPDX-License-Identifier: MIT
/*
 * A program with a thread that no signal wakes up: the kernel waits in its name for a page
 * that userfaultfd(2) holds back.
 *
 *	stick		there is such a thread	-> "stuck", or "unsupported": no userfaultfd
 *	work		a thousand allocations	-> "worked"
 *	free		the page comes		-> "free"
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "talk.h"

#define PAGE 4096

static char *page;
static volatile pid_t waiter;

static void *wait_for_page(void *arg)
{
	char word[8];
	struct iovec ours = {word, sizeof(word)}, theirs = {page, sizeof(word)};

	(void)arg;
	waiter = (pid_t)syscall(SYS_gettid);
	if (process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0) != sizeof(word))
		hurt("process_vm_readv: %s", strerror(errno));
	return NULL;
}

static int hold_page_back(void)
{
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (unsigned long)page;
	range.range.len = PAGE;
	if (fd < 0 || page == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &range))
		return -1;
	return fd;
}

static char state_of(pid_t tid)
{
	char path[64], line[256] = "", *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
	file = fopen(path, "r");
	if (!file || !fgets(line, sizeof(line), file))
		hurt("%s cannot be read", path);
	fclose(file);
	end = strrchr(line, ')');
	return end ? end[2] : '?';
}

static void work(void)
{
	for (int i = 0; i < 1000; i++) {
		char *volatile block = malloc(100);

		block[0] = 'x';
		free(block);
	}
}

static void free_waiter(int fd, pthread_t thread)
{
	struct uffdio_zeropage zero = {.range = {(unsigned long)page, PAGE}};

	if (ioctl(fd, UFFDIO_ZEROPAGE, &zero))
		hurt("UFFDIO_ZEROPAGE: %s", strerror(errno));
	pthread_join(thread, NULL);
}

int main(void)
{
	const char *line;
	pthread_t thread;
	int fd = hold_page_back();

	say("ready");
	while ((line = hear())) {
		if (strcmp(line, "stick") == 0 && fd < 0) {
			say("unsupported");
		} else if (strcmp(line, "stick") == 0) {
			pthread_create(&thread, NULL, wait_for_page, NULL);
			while (!waiter || state_of(waiter) != 'D')
				usleep(1000);
			say("stuck");
		} else if (strcmp(line, "work") == 0) {
			work();
			say("worked");
		} else if (strcmp(line, "free") == 0) {
			free_waiter(fd, thread);
			say("free");
		}
	}
	return 0;
}
