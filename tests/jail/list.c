// SPDX-License-Identifier: MIT
/* The list of system calls as tables. */
#include <sys/syscall.h>

#include "jail.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#define CALL(phase, name)
#define IOCTL(phase, name)
#define PHASE(name) [PHASE_##name] = #name,
const char *const jail_phases[PHASES] = {
#include "jail-table.h"
};
#undef PHASE
#undef CALL

#define PHASE(name)
#define CALL(phase, name) { PHASE_##phase, #name, SYS_##name },
const struct jail_entry jail_calls[] = {
#include "jail-table.h"
	{ PHASES, NULL, -1 }
};
#undef CALL
#undef IOCTL

#define CALL(phase, name)
#define IOCTL(phase, name) { PHASE_##phase, #name, name },
const struct jail_entry jail_ioctls[] = {
#include "jail-table.h"
	{ PHASES, NULL, -1 }
};
