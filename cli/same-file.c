/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether two names, or a name and a descriptor, lead to the same file, pipe or socket. */
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "same-file.h"

#define FD_PREFIX "fd:"
#define FILE_PREFIX "file:"

bool same_file_stat(const char *spec, int standard, struct stat *ret)
{
	uint64_t fd;

	if (!strcmp(spec, "-"))
		return fstat(standard, ret) == 0;
	if (has_prefix(spec, FD_PREFIX))
		return parse_number(spec + strlen(FD_PREFIX), INT32_MAX, &fd) == 0 && fstat((int)fd, ret) == 0;
	if (has_prefix(spec, FILE_PREFIX))
		spec += strlen(FILE_PREFIX);
	return stat(spec, ret) == 0;
}

bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}
