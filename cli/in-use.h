/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has a device file open. */
#ifndef VFIOMIGCTL_IN_USE_H
#define VFIOMIGCTL_IN_USE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * First other process that has @path open, as far as /proc shows it to us: "1234 (qemu-system-x86)" in @buf.
 * Return: false when none is seen.
 */
bool in_use_by(const char *path, char *buf, size_t room);

#endif
