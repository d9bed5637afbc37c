/* SPDX-License-Identifier: MIT */
/* Save the first device that a holder lends, e.g. save_borrowed /run/holder.sock file:state.vfm */
#include <stdio.h>
#include <stdlib.h>

#include <vfiomig.h>
#include <vfiomig/transport.h>

static int save(struct vfm_device *device, struct vfm_endpoint *endpoint, struct vfm_error *error)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	VFM_OPTS(vfm_transfer_result, result);
	int r;

	opts.then_state = VFM_STATE_UNKNOWN; /* back to the state found: a snapshot */
	r = vfm_save(&device, 1, vfm_endpoint_io(endpoint), &opts, &result, error);
	if (r == 0)
		r = vfm_endpoint_commit(endpoint, error);
	if (r == 0)
		printf("%s: %llu bytes of state, %s\n", vfm_device_name(device), (unsigned long long)result.bytes,
		       vfm_state_name(result.state_now));
	return r;
}

int main(int argc, char **argv)
{
	VFM_OPTS(vfm_endpoint_opts, opts);
	VFM_OPTS(vfm_error, error);
	struct vfm_context *context = NULL;
	struct vfm_borrow *borrow = NULL;
	struct vfm_endpoint *endpoint = NULL;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: save_borrowed SOCKET ENDPOINT\n");
		return 2;
	}
	opts.flags = VFM_ENDPOINT_WRITE;
	r = vfm_context_new(&context);
	if (r == 0)
		r = vfm_borrow_open(context, argv[1], NULL, &borrow, &error);
	if (r == 0)
		r = vfm_endpoint_open(context, argv[2], &opts, &endpoint, &error);
	if (r == 0)
		r = save(vfm_borrow_device(borrow, 0), endpoint, &error);
	if (r < 0)
		fprintf(stderr, "save_borrowed: %s\n", context ? error.message : "out of memory");
	vfm_endpoint_close(endpoint);
	vfm_borrow_close(borrow); /* the device and its state stay with the holder */
	vfm_context_free(context);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
