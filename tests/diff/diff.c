// SPDX-License-Identifier: MIT
/*
 * vfm-diff [--world W] [--seed S] [--sequences N] [--calls M] [--spec SIM] [--against SIM] DEVICE [DEVICE]: random
 * calls on devices of the running kernel (or of another machine) and on simulated ones of the same drivers, in step. A
 * sequence that differs is shrunk and printed. TAP on stdout.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <xxhash.h>

#include "diff.h"

int subject_open(struct subject *s)
{
	int r = vfm_iommu_open(s->ctx, NULL, &s->iommu, NULL);

	if (!r)
		r = vfm_device_open_attached(s->ctx, s->found[0].identity.name, s->iommu, &s->dev, NULL);
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

/* drawing and making calls */

static uint64_t next(uint64_t *rng)
{
	*rng += 0x9e3779b97f4a7c15ull;
	return XXH3_64bits(rng, sizeof(*rng));
}

static void call_draw(const struct world *world, struct call *call, uint64_t *rng)
{
	uint32_t total = 0, at;

	for (size_t i = 0; i < world->count; i++)
		total += world->moves[i].weight;
	at = (uint32_t)(next(rng) % total);
	for (call->op = 0; at >= world->moves[call->op].weight; call->op++)
		at -= world->moves[call->op].weight;
	call->a = (uint32_t)next(rng);
	call->b = (uint32_t)next(rng);
}

static void call_run(const struct world *world, struct subject *s, const struct call *call, struct outcome *ret)
{
	memset(ret, 0, sizeof(*ret));
	world->moves[call->op].run(s, call, ret);
	ret->state = VFM_STATE_UNKNOWN;
	if (s->dev)
		(void)!vfm_device_get_state(s->dev, &ret->state, NULL);
}

/* Each sequence begins on a blank device: edu by opening it, mtty (which keeps its state) by a good load. */
static int subject_start(struct subject *s)
{
	uint32_t state;
	int r = subject_open(s);

	s->cursor = 0;
	s->logged_count = 0;
	if (!r)
		r = vfm_device_reset(s->dev, NULL);
	if (!r)
		r = vfm_device_get_state(s->dev, &state, NULL);
	return r;
}

/* Memory to be written to. */
static int subject_map(struct subject *s)
{
	static _Alignas(4096) uint8_t memory[LOGGING_MEMORY];
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE,
		.ioas_id = vfm_iommu_ioas_id(s->iommu),
		.user_va = (uintptr_t)memory,
		.length = sizeof(memory),
	};

	return s->sys->ops->ioctl(s->sys, vfm_iommu_fd(s->iommu), IOMMU_IOAS_MAP, &map);
}

static int subject_record(struct subject *s)
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
	return x->result == y->result && x->state == y->state && x->has_fd == y->has_fd &&
	       !memcmp(x->value, y->value, sizeof(x->value));
}

static int world_start(const struct world *world, struct subject *s)
{
	int r = 0;

	if (!world->one_device)
		files_start(s);
	else
		r = subject_start(s);
	return r || !world->one_device || world->recorded ? r : subject_map(s);
}

static void world_stop(const struct world *world, struct subject *s)
{
	if (world->one_device)
		subject_close(s);
	else
		files_stop(s);
}

/* Index of the first call on which the two differ, or -1; -2 when a machine could not even start. */
static int run_sequence(const struct world *world, struct subject two[2], const struct call *calls, size_t count,
			struct outcome out[2])
{
	int differs = -1;

	for (int i = 0; i < 2; i++)
		if (world_start(world, &two[i]))
			differs = -2;
	for (size_t c = 0; c < count && differs == -1; c++) {
		call_run(world, &two[0], &calls[c], &out[0]);
		call_run(world, &two[1], &calls[c], &out[1]);
		if (!same(&out[0], &out[1]))
			differs = (int)c;
	}
	for (int i = 0; i < 2; i++)
		world_stop(world, &two[i]);
	return differs;
}

static void print_outcome(const struct subject *s, const struct outcome *o)
{
	printf("#   %-5s result %lld values %llx %llx %llx state %s%s\n", s->machine, (long long)o->result,
	       (unsigned long long)o->value[0], (unsigned long long)o->value[1], (unsigned long long)o->value[2],
	       vfm_state_name(o->state), o->has_fd ? " +fd" : "");
}

/* Take out every call without which they still differ. */
static void shrink_and_print(const struct world *world, struct subject two[2], struct call *calls, size_t count)
{
	struct outcome out[2] = { 0 };
	struct call fewer[DIFF_MAX_CALLS];

	for (size_t i = 0; i < count;) {
		memcpy(fewer, calls, i * sizeof(*calls));
		memcpy(fewer + i, calls + i + 1, (count - i - 1) * sizeof(*calls));
		if (run_sequence(world, two, fewer, count - 1, out) >= 0) {
			count--;
			memcpy(calls, fewer, count * sizeof(*calls));
		} else {
			i++;
		}
	}
	run_sequence(world, two, calls, count, out);
	for (size_t i = 0; i < count; i++)
		printf("#   %s %u %u\n", world->moves[calls[i].op].name, calls[i].a, calls[i].b);
	print_outcome(&two[0], &out[0]);
	print_outcome(&two[1], &out[1]);
}

/* setting up */

struct search {
	struct subject *s;
	const struct vfm_candidate *like;
	struct vfm_candidate *found;
};

/* The simulated device of the same driver that is not taken yet. */
static int find_simulated(void *user, const struct vfm_candidate *c)
{
	struct search *search = user;
	bool is_edu = !strstr(search->like->identity.driver, "mtty");

	if (is_edu != (strstr(c->identity.driver, "edu") != NULL) || !(c->flags & VFM_CANDIDATE_VFIO) ||
	    !strcmp(c->identity.name, search->s->found[0].identity.name))
		return 0;
	*search->found = *c;
	return 1;
}

static int find_devices(struct subject two[2], char *const *names, int count)
{
	int r = 0;

	for (int i = 0; i < count && r == 0; i++) {
		struct search search = { &two[1], &two[0].found[i], &two[1].found[i] };

		two[0].found[i].size = sizeof(two[0].found[i]);
		r = vfm_find(two[0].ctx, names[i], &two[0].found[i], NULL);
		if (r == 0)
			r = vfm_discover(two[1].ctx, find_simulated, &search, NULL) == 1 ? 0 : -ENODEV;
		if (r)
			printf("Bail out! %s: %s\n", names[i], strerror(-r));
	}
	for (int i = 0; i < 2; i++) {
		two[i].is_edu = strstr(two[0].found[0].identity.driver, "edu") != NULL;
		two[i].is_soft = strstr(two[0].found[0].identity.driver, "soft") != NULL;
		two[i].writes = two[i].is_soft || (two[0].sim && two[i].is_edu);
	}
	return r;
}

static int prepare_machines(struct subject two[2], const char *spec, const char *against)
{
	char message[256] = "";
	int r;

	r = against ? vfm_sim_open(NULL, against, &two[0].sim, message, sizeof(message)) : 0;
	if (!r)
		r = against ? vfm_sim_context(two[0].sim, &two[0].ctx) : vfm_context_new(&two[0].ctx);
	if (!r)
		r = vfm_sim_open(NULL, spec, &two[1].sim, message, sizeof(message));
	if (!r)
		r = vfm_sim_context(two[1].sim, &two[1].ctx);
	if (r) {
		printf("Bail out! %s %s\n", strerror(-r), message);
		return r;
	}
	two[0].machine = against ? "first" : "real";
	two[1].machine = "sim";
	for (int i = 0; i < 2; i++) {
		two[i].sys = vfmi_context_sys(two[i].ctx);
		two[i].data_fd = -1;
		two[i].eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		two[i].listened = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	return 0;
}

static int record_streams(struct subject two[2])
{
	int r = 0;

	for (int i = 0; i < 2 && !r; i++)
		r = subject_record(&two[i]);
	if (!r && two[0].stream_length == two[1].stream_length &&
	    !memcmp(two[0].stream, two[1].stream, two[0].stream_length))
		return 0;
	printf("Bail out! blank states differ: %zu and %zu bytes (%s)\n", two[0].stream_length, two[1].stream_length,
	       strerror(-r));
	return -EINVAL;
}

struct wish {
	const struct world *world;
	const char *spec;
	const char *against;
	unsigned long long seed;
	unsigned long long sequences;
	unsigned long long calls;
};

static const struct world *world_of(const char *name)
{
	static const struct world *const worlds[] = { &world_device, &world_logging, &world_interrupts,
						      &world_container, &world_iommufd };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(worlds); i++)
		if (!strcmp(worlds[i]->name, name))
			return worlds[i];
	return NULL;
}

static int parse(int argc, char **argv, struct wish *wish)
{
	static const struct option longs[] = { { "seed", 1, NULL, 's' },    { "sequences", 1, NULL, 'n' },
					       { "calls", 1, NULL, 'c' },   { "spec", 1, NULL, 'p' },
					       { "against", 1, NULL, 'a' }, { "world", 1, NULL, 'w' },
					       { NULL, 0, NULL, 0 } };
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 's')
			wish->seed = strtoull(optarg, NULL, 0);
		else if (opt == 'n')
			wish->sequences = strtoull(optarg, NULL, 0);
		else if (opt == 'c')
			wish->calls = strtoull(optarg, NULL, 0);
		else if (opt == 'p')
			wish->spec = optarg;
		else if (opt == 'a')
			wish->against = optarg;
		else if (opt == 'w')
			wish->world = world_of(optarg);
		else
			return -EINVAL;
	}
	if (!wish->world || argc - optind != (wish->world->one_device ? 1 : 2) || wish->calls == 0 ||
	    wish->calls > DIFF_MAX_CALLS)
		return -EINVAL;
	return 0;
}

static unsigned int run_all(const struct wish *wish, struct subject two[2])
{
	unsigned int bad = 0;

	for (unsigned long long n = 0; n < wish->sequences && bad < 5; n++) {
		uint64_t rng = wish->seed * 1000003 + n;
		struct call list[DIFF_MAX_CALLS];
		struct outcome out[2];

		for (unsigned long long i = 0; i < wish->calls; i++)
			call_draw(wish->world, &list[i], &rng);
		if (run_sequence(wish->world, two, list, wish->calls, out) == -1)
			continue;
		bad++;
		printf("# sequence %llu differs, shrunk:\n", n);
		shrink_and_print(wish->world, two, list, wish->calls);
	}
	return bad;
}

int main(int argc, char **argv)
{
	struct wish wish = { .world = &world_device, .seed = 1, .sequences = 1000, .calls = 30 };
	struct subject two[2] = { { .data_fd = -1 }, { .data_fd = -1 } };
	unsigned int bad;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (parse(argc, argv, &wish))
		return 2;
	printf("TAP version 13\n1..1\n# %s of %s: %llu sequences of %llu calls, seed %llu\n", wish.world->name,
	       argv[optind], wish.sequences, wish.calls, wish.seed);
	if (prepare_machines(two, wish.spec, wish.against) || find_devices(two, argv + optind, argc - optind) ||
	    (wish.world->recorded && record_streams(two)))
		return 1;
	bad = run_all(&wish, two);
	printf("%s 1 - %s of %s and its profile agree\n", bad ? "not ok" : "ok", wish.world->name, argv[optind]);
	for (int i = 0; i < 2; i++) {
		vfm_context_free(two[i].ctx);
		vfm_sim_close(two[i].sim);
		free(two[i].stream);
		close(two[i].eventfd);
		close(two[i].listened);
	}
	return bad ? 1 : 0;
}
