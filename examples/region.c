/* SPDX-License-Identifier: MIT */
/*
 * Read or write text in a region of the device that a holder lends: region SOCKET INDEX OFFSET [TEXT]
 * On the running kernel, or on the simulated machine whose file VFIOMIG_SIM names, as for vfiomigctl.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vfiomig.h>
#include <vfiomig/sim.h>

#define TEXT_MAX 64

static int number(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 0);
	return errno || end == text || *end ? -EINVAL : 0;
}

/* The machine, if any, outlives the context that stands on it. */
static int open_context(const char *machine, struct vfm_sim **ret_sim, struct vfm_context **ret_context,
			struct vfm_error *error)
{
	int r;

	if (!machine)
		return vfm_context_new(ret_context);
	r = vfm_sim_open(machine, NULL, ret_sim, error->message, sizeof(error->message));
	return r < 0 ? r : vfm_sim_context(*ret_sim, ret_context);
}

/* Text ends with a NUL in the device, so that a shorter one can follow a longer one. */
static int write_text(struct vfm_device *device, uint32_t index, uint64_t offset, const char *text,
		      struct vfm_error *error)
{
	return vfm_device_region_write(device, index, offset, text, strlen(text) + 1, error);
}

static int print_text(struct vfm_device *device, uint32_t index, uint64_t offset, struct vfm_error *error)
{
	char text[TEXT_MAX + 1] = "";
	int r = vfm_device_region_read(device, index, offset, text, TEXT_MAX, error);

	if (r < 0)
		return r;
	for (char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	printf("%s\n", text[0] ? text : "(nothing)");
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: region SOCKET INDEX OFFSET [TEXT], TEXT of at most %d bytes\n", TEXT_MAX - 1);
	return 2;
}

int main(int argc, char **argv)
{
	VFM_OPTS(vfm_error, error);
	struct vfm_sim *sim = NULL;
	struct vfm_context *context = NULL;
	struct vfm_borrow *borrow = NULL;
	uint64_t index, offset;
	int r;

	if (argc < 4 || argc > 5 || number(argv[2], &index) || index > UINT32_MAX || number(argv[3], &offset) ||
	    (argc == 5 && strlen(argv[4]) >= TEXT_MAX))
		return usage();

	r = open_context(getenv("VFIOMIG_SIM"), &sim, &context, &error);
	if (r == 0)
		r = vfm_borrow_open(context, argv[1], NULL, &borrow, &error);
	if (r == 0 && argc == 5)
		r = write_text(vfm_borrow_device(borrow, 0), (uint32_t)index, offset, argv[4], &error);
	else if (r == 0)
		r = print_text(vfm_borrow_device(borrow, 0), (uint32_t)index, offset, &error);
	if (r < 0)
		fprintf(stderr, "region: %s\n", error.message[0] ? error.message : strerror(-r));
	vfm_borrow_close(borrow);
	vfm_context_free(context);
	vfm_sim_close(sim);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
