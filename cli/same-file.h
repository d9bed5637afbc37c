/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What endpoints and files of the command line lead to: a pipe has as many names as descriptors. */
#ifndef VFIOMIGCTL_SAME_FILE_H
#define VFIOMIGCTL_SAME_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

/* What "-" (@standard: the descriptor it means), "fd:N", "file:PATH" or PATH leads to. Return: false for nothing. */
bool same_file_stat(const char *spec, int standard, struct stat *ret);

/* Whether both are one thing that bytes go through. */
bool same_file(const struct stat *a, const struct stat *b);

#endif
