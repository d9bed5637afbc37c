// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's sample device by raw ioctls: mtty_probe NODE NODE, both with the same ports. */
#include "probe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SCRATCH	     7 /* a byte that the emulated serial port just keeps */
#define HEADER_BYTES 24

int main(int argc, char **argv)
{
	struct blob b = { NULL, 0 };
	uint64_t initial, dirty;
	struct probe p, q;
	uint32_t flags = 0;
	int fd, none;

	if (argc != 3)
		return 2;
	probe_open(&p, argv[1]);
	probe_open(&q, argv[2]);
	ok(probe_mig_flags(&p) == 7, "all migration flags");
	/* mtty keeps its state over close; a test must not mind what came before. */
	probe_leave(&p, STATE_RUNNING);
	probe_set(&p, &p.bar, SCRATCH, 0x6d, 1);
	probe_set(&q, &q.bar, SCRATCH, 0, 1);

	fd = probe_enter(&p, STATE_PRE_COPY);
	ok(!probe_precopy_info(fd, &flags, &initial, &dirty) && initial == HEADER_BYTES && !dirty,
	   "initial bytes are its header");
	ok(!blob_read(&b, fd, 4096) && b.size == HEADER_BYTES, "PRE_COPY ends with 0");
	probe_leave(&p, STATE_STOP_COPY);
	ok(!blob_read(&b, fd, 4096) && b.size == probe_data_size(&p), "STOP_COPY gives the rest");
	close(fd);

	fd = probe_enter(&q, STATE_RESUMING);
	ok(!blob_write(&b, 0, fd, 4096), "the other device takes it");
	close(fd);
	probe_leave(&q, STATE_RUNNING);
	ok(probe_get(&q, &q.bar, SCRATCH, 1) == 0x6d, "and remembers what the first was told");

	fd = probe_enter(&q, STATE_RESUMING);
	ok(write(fd, b.data, b.size - 1) == (ssize_t)b.size - 1, "a short stream");
	ok(probe_set_state(&q, STATE_STOP, &none) == -EINVAL && probe_state(&q) == STATE_RESUMING,
	   "is refused");
	ok(!probe_reset(&q) && probe_state(&q) == STATE_RUNNING, "reset helps");
	close(fd);
	probe_close(&p);
	probe_close(&q);
	blob_free(&b);
	return tap_done();
}
