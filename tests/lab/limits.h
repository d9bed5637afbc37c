/* SPDX-License-Identifier: MIT */
/* Limits of this process for scenarios that want to run into them. */
#ifndef VFIOMIG_LAB_LIMITS_H
#define VFIOMIG_LAB_LIMITS_H

#include "lab.h"

int lab_ipc_lock(struct env *env, bool on);	  /* CAP_IPC_LOCK, as far as it is permitted */
int lab_sys_resource(struct env *env, bool on);	  /* CAP_SYS_RESOURCE, likewise */
int lab_memlock(struct env *env, uint64_t bytes); /* the soft RLIMIT_MEMLOCK */
uint64_t lab_status_kib(const char *key);	  /* a line of /proc/self/status; UINT64_MAX when not there */

#endif
