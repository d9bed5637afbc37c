/* SPDX-License-Identifier: MIT */
/*
 * Reads or writes the bulk state of a simulated device from outside, as its hardware would change it.
 * Usage: vfm-contents DEVICE OFFSET read LENGTH | write TEXT, on the machine file named by VFIOMIG_SIM
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfiomig/sim.h>

#define MAX_LENGTH 4096

static int act(struct vfm_sim *sim, char **argv)
{
	const unsigned long long offset = strtoull(argv[2], NULL, 0);
	char buf[MAX_LENGTH];
	size_t length;
	int r;

	if (!strcmp(argv[3], "write"))
		return vfm_sim_contents_write(sim, argv[1], offset, argv[4], strlen(argv[4]));
	length = strtoul(argv[4], NULL, 0);
	if (strcmp(argv[3], "read") != 0 || length > sizeof(buf))
		return -1;
	r = vfm_sim_contents_read(sim, argv[1], offset, buf, length);
	for (size_t i = 0; i < length && r == 0; i++)
		putchar(buf[i] ? buf[i] : '.');
	putchar('\n');
	return r;
}

int main(int argc, char **argv)
{
	const char *path = getenv("VFIOMIG_SIM");
	struct vfm_sim *sim;
	char message[256] = "";
	int r;

	if (argc != 5 || !path || vfm_sim_open(path, NULL, &sim, message, sizeof(message)) < 0) {
		fprintf(stderr, "vfm-contents: usage, or no machine: %s\n", message);
		return 2;
	}
	r = act(sim, argv);
	vfm_sim_close(sim);
	if (r < 0)
		fprintf(stderr, "vfm-contents: %s\n", strerror(-r));
	return r < 0;
}
