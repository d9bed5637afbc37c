// SPDX-License-Identifier: MIT
/*
 * vfm-diff [--seed S] [--sequences N] [--calls M] [--spec SIM] DEVICE: random calls on DEVICE of the running kernel and
 * on the simulated one of the same driver, in step. A sequence that differs is shrunk and printed. TAP on stdout.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "diff.h"

int subject_open(struct subject *s)
{
	int r = vfm_iommu_open(s->ctx, &s->iommu, NULL);

	if (!r)
		r = vfm_device_open_attached(s->ctx, s->name, s->iommu, &s->dev, NULL);
	return r;
}

void subject_close(struct subject *s)
{
	if (s->data_fd >= 0)
		s->sys->ops->close(s->sys, s->data_fd);
	s->data_fd = -1;
	vfm_device_close(s->dev);
	vfm_iommu_close(s->iommu);
	s->dev = NULL;
	s->iommu = NULL;
}

/* Each sequence begins on a blank device: edu by opening it, mtty (which keeps its state) by a good load. */
static int subject_start(struct subject *s)
{
	uint32_t state;
	int r = subject_open(s);

	s->cursor = 0;
	if (!r)
		r = vfm_device_reset(s->dev, NULL);
	if (!r)
		r = vfm_device_get_state(s->dev, &state, NULL);
	return r;
}

int subject_record(struct subject *s)
{
	struct vfm_session_opts opts = { .size = sizeof(opts), .abort_state = VFM_STATE_UNKNOWN };
	struct vfm_session *session;
	uint32_t state;
	size_t n;
	int r = subject_start(s);

	s->stream = malloc(DIFF_STREAM);
	if (r || !s->stream)
		return r ? r : -ENOMEM;
	r = vfm_session_save(s->dev, &opts, &session, NULL);
	if (r)
		return r;
	while (s->stream_length < DIFF_STREAM &&
	       (r = vfm_session_read(session, s->stream + s->stream_length, DIFF_STREAM - s->stream_length, &n,
				     NULL)) == VFM_READ_DATA)
		s->stream_length += n;
	if (r == VFM_READ_END)
		r = vfm_session_finish(session, VFM_STATE_RUNNING, &state, NULL);
	vfm_session_close(session);
	subject_close(s);
	return r;
}

static bool same(const struct outcome *x, const struct outcome *y)
{
	return x->result == y->result && x->state == y->state && x->has_data_fd == y->has_data_fd &&
	       !memcmp(x->value, y->value, sizeof(x->value));
}

/* Index of the first call on which the two differ, or -1; -2 when a machine could not even start. */
static int run_sequence(struct subject two[2], const struct call *calls, size_t count, struct outcome out[2])
{
	int differs = -1;

	for (int i = 0; i < 2; i++)
		if (subject_start(&two[i]))
			differs = -2;
	for (size_t c = 0; c < count && differs == -1; c++) {
		call_run(&two[0], &calls[c], &out[0]);
		call_run(&two[1], &calls[c], &out[1]);
		if (!same(&out[0], &out[1]))
			differs = (int)c;
	}
	for (int i = 0; i < 2; i++)
		subject_close(&two[i]);
	return differs;
}

static void print_outcome(const struct subject *s, const struct outcome *o)
{
	printf("#   %-5s result %lld values %llx %llx %llx state %s%s\n", s->machine, (long long)o->result,
	       (unsigned long long)o->value[0], (unsigned long long)o->value[1], (unsigned long long)o->value[2],
	       vfm_state_name(o->state), o->has_data_fd ? " +fd" : "");
}

/* Take out every call without which they still differ. */
static void shrink_and_print(struct subject two[2], struct call *calls, size_t count)
{
	struct outcome out[2] = { 0 };
	struct call fewer[DIFF_MAX_CALLS];
	char text[80];

	for (size_t i = 0; i < count;) {
		memcpy(fewer, calls, i * sizeof(*calls));
		memcpy(fewer + i, calls + i + 1, (count - i - 1) * sizeof(*calls));
		if (run_sequence(two, fewer, count - 1, out) >= 0) {
			count--;
			memcpy(calls, fewer, count * sizeof(*calls));
		} else {
			i++;
		}
	}
	run_sequence(two, calls, count, out);
	for (size_t i = 0; i < count; i++) {
		call_print(&calls[i], text, sizeof(text));
		printf("#   %s\n", text);
	}
	print_outcome(&two[0], &out[0]);
	print_outcome(&two[1], &out[1]);
}

static int find_simulated(void *user, const struct vfm_candidate *c)
{
	struct subject *s = user;
	const struct vfm_identity *id = &c->identity;

	if (!s->name[0] && s->is_edu == (strstr(id->driver, "edu") != NULL) && (c->flags & VFM_CANDIDATE_CDEV))
		snprintf(s->name, sizeof(s->name), "%s", id->name);
	return 0;
}

static int prepare(struct subject two[2], const char *device, const char *spec, const char *spec_a)
{
	struct vfm_candidate found = { .size = sizeof(found) };
	char message[256] = "";
	int r;

	r = spec_a ? vfm_sim_open(NULL, spec_a, &two[0].sim, message, sizeof(message)) : 0;
	if (!r)
		r = spec_a ? vfm_sim_context(two[0].sim, &two[0].ctx) : vfm_context_new(&two[0].ctx);
	if (!r)
		r = vfm_sim_open(NULL, spec, &two[1].sim, message, sizeof(message));
	if (!r)
		r = vfm_sim_context(two[1].sim, &two[1].ctx);
	if (!r)
		r = vfm_find(two[0].ctx, device, &found, NULL);
	if (r) {
		printf("Bail out! %s: %s %s\n", device, strerror(-r), message);
		return r;
	}
	two[0].machine = spec_a ? "first" : "real";
	two[1].machine = "sim";
	snprintf(two[0].name, sizeof(two[0].name), "%s", found.identity.name);
	for (int i = 0; i < 2; i++) {
		two[i].sys = vfmi_context_sys(two[i].ctx);
		two[i].data_fd = -1;
		two[i].eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		two[i].is_edu = strstr(found.identity.driver, "edu") != NULL;
	}
	r = vfm_discover(two[1].ctx, find_simulated, &two[1], NULL);
	for (int i = 0; i < 2 && !r; i++)
		r = subject_record(&two[i]);
	if (r || two[0].stream_length != two[1].stream_length ||
	    memcmp(two[0].stream, two[1].stream, two[0].stream_length)) {
		printf("Bail out! %s: blank states differ: %zu and %zu bytes (%s)\n", device, two[0].stream_length,
		       two[1].stream_length, strerror(-r));
		return -EINVAL;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "seed", 1, NULL, 's' },    { "sequences", 1, NULL, 'n' },
					       { "calls", 1, NULL, 'c' },   { "spec", 1, NULL, 'p' },
					       { "against", 1, NULL, 'a' }, { NULL, 0, NULL, 0 } };
	unsigned long long seed = 1, sequences = 1000, calls = 30;
	const char *spec = NULL, *against = NULL;
	struct subject two[2] = { { .data_fd = -1 }, { .data_fd = -1 } };
	unsigned int bad = 0;
	int opt;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (opt == 'n')
			sequences = strtoull(optarg, NULL, 0);
		else if (opt == 'c')
			calls = strtoull(optarg, NULL, 0);
		else if (opt == 'p')
			spec = optarg;
		else if (opt == 'a')
			against = optarg;
		else
			return 2;
	}
	if (optind + 1 != argc || calls == 0 || calls > DIFF_MAX_CALLS)
		return 2;
	printf("TAP version 13\n1..1\n# %s: %llu sequences of %llu calls, seed %llu\n", argv[optind], sequences, calls,
	       seed);
	if (prepare(two, argv[optind], spec, against))
		return 1;
	for (unsigned long long n = 0; n < sequences && bad < 5; n++) {
		uint64_t rng = seed * 1000003 + n;
		struct call list[DIFF_MAX_CALLS];
		struct outcome out[2];

		for (unsigned long long i = 0; i < calls; i++)
			call_draw(&list[i], &rng);
		if (run_sequence(two, list, calls, out) == -1)
			continue;
		bad++;
		printf("# sequence %llu differs, shrunk:\n", n);
		shrink_and_print(two, list, calls);
	}
	printf("%s 1 - %s and its profile agree\n", bad ? "not ok" : "ok", argv[optind]);
	for (int i = 0; i < 2; i++) {
		vfm_context_free(two[i].ctx);
		vfm_sim_close(two[i].sim);
		free(two[i].stream);
		close(two[i].eventfd);
	}
	return bad ? 1 : 0;
}
