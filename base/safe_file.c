// SPDX-License-Identifier: MIT
#include "base/safe_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void forget(struct safe_file *file)
{
	free(file->path);
	free(file->temp);
	memset(file, 0, sizeof(*file));
}

static int no_memory(struct safe_file *file, struct err *err)
{
	forget(file);
	return err_set(err, ENOMEM, "out of memory");
}

static int open_temp(struct safe_file *file)
{
	mode_t mask = umask(0);
	int fd;

	umask(mask);
	if (asprintf(&file->temp, "%s.XXXXXX", file->path) < 0) {
		file->temp = NULL;
		errno = ENOMEM;
		return -1;
	}
	fd = mkostemp(file->temp, O_CLOEXEC);
	/* mkostemp makes it 0600; a report has the rights the user's umask gives. */
	if (fd >= 0 && fchmod(fd, 0666 & ~mask) != 0) {
		int saved = errno;

		close(fd);
		unlink(file->temp);
		errno = saved;
		return -1;
	}
	return fd;
}

int safe_file_open(struct safe_file *file, const char *path, struct err *err)
{
	struct stat st;
	int code, fd;

	memset(file, 0, sizeof(*file));
	file->path = strdup(path);
	if (!file->path)
		return no_memory(file, err);
	if (strcmp(path, "-") == 0)
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		fd = open(path, O_WRONLY | O_CLOEXEC);
	else
		fd = open_temp(file);
	if (fd >= 0) {
		file->f = fdopen(fd, "w");
		if (file->f)
			return 0;
		code = errno;
		close(fd);
		if (file->temp)
			unlink(file->temp);
		errno = code;
	}
	code = errno;
	forget(file);
	return err_sys(err, code, "cannot write %s", path);
}

int safe_file_commit(struct safe_file *file, struct err *err)
{
	int code = 0;

	errno = 0;
	if (fflush(file->f) != 0 || ferror(file->f))
		code = errno ? errno : EIO;
	errno = 0;
	if (fclose(file->f) != 0 && !code)
		code = errno ? errno : EIO;
	file->f = NULL;
	if (!code && file->temp && rename(file->temp, file->path) != 0)
		code = errno;
	if (code) {
		err_sys(err, code, "cannot write %s", file->path);
		if (file->temp)
			unlink(file->temp);
	}
	forget(file);
	return -code;
}

void safe_file_abort(struct safe_file *file)
{
	if (file->f)
		fclose(file->f);
	if (file->temp)
		unlink(file->temp);
	forget(file);
}
