/* SPDX-License-Identifier: MIT */
/* Starting many devices side by side: a queue of chains, a few workers, all or nothing. */
#include <pthread.h>
#include <stdlib.h>

#include "device-internal.h"
#include "executor.h"

#define STEP "start devices"
#define START_MIN VFMI_SIZE_TO(struct vfm_start, ret_ns)
#define MAX_STARTS 1024u
#define MAX_THREADS 64u

struct start {
	struct vfm_open open;
	char name[sizeof(((struct vfm_identity *)0)->name)];
	bool in_group;
	uint32_t group;
	const struct vfm_cancel *cancel;
	size_t chain; /* the first start that this one must not run beside */
	int code;
	struct vfm_device *dev;
	uint64_t ns;
	struct vfm_error error; /* code 0: did not fail itself */
};

struct startup {
	struct vfm_context *ctx;
	struct vfm_iommu *iommu;
	struct start *starts;
	size_t count;
	pthread_mutex_t lock; /* over the fields below */
	size_t next;	      /* chains that begin below it are taken */
	bool failed;	      /* nothing more is begun */
};

/* the caller's array */

static struct vfm_start *start_at(struct vfm_start *starts, size_t index)
{
	return (struct vfm_start *)(void *)((char *)starts + index * starts->size);
}

/* The last member: a caller of an earlier version has none. */
static const struct vfm_cancel *cancel_of(const struct vfm_start *start)
{
	return start->size >= VFMI_SIZE_TO(struct vfm_start, cancel) ? start->cancel : NULL;
}

static int check_size(struct vfm_start *starts, size_t index)
{
	const struct vfm_start *start = start_at(starts, index);
	struct vfm_start taken;

	if (start->size != starts->size || starts->size % _Alignof(struct vfm_start))
		return -EINVAL;
	return vfmi_sized_in(&taken, sizeof(taken), start, START_MIN);
}

static int check_args(struct vfm_context *ctx, struct vfm_iommu *iommu, struct vfm_start *starts, size_t count,
		      struct vfm_error *err)
{
	const char *flaw = NULL;
	int r = 0;

	if (!iommu)
		flaw = "no address space";
	else if (!starts || count == 0 || count > MAX_STARTS)
		flaw = "1 to 1024 devices at once";
	for (size_t i = 0; i < count && !flaw; i++) {
		r = check_size(starts, i);
		if (r < 0)
			flaw = "struct vfm_start of a size not known here";
		else if (!start_at(starts, i)->open)
			flaw = "a device without struct vfm_open";
	}
	return flaw ? VFMI_FAIL(ctx, err, r < 0 ? -r : EINVAL, NULL, STEP, "%s", flaw) : 0;
}

static void give_back(const struct startup *s, struct vfm_start *starts)
{
	for (size_t i = 0; i < s->count; i++) {
		struct vfm_start *out = start_at(starts, i);
		const struct start *start = &s->starts[i];

		out->ret_code = start->code;
		out->ret_dev = start->dev;
		out->ret_ns = start->ns;
		if (start->error.code && out->ret_error)
			(void)vfmi_sized_out(out->ret_error, &start->error, sizeof(start->error));
	}
}

/* before anything is opened */

static int look_up(struct startup *s, size_t index, const struct vfm_open *open)
{
	struct start *start = &s->starts[index];
	VFM_OPTS(vfm_candidate, candidate);
	int r = vfmi_device_take_open(s->ctx, open, &start->open, &start->error);

	if (r == 0)
		r = vfm_find(s->ctx, start->open.name, &candidate, &start->error);
	if (r < 0)
		return r;
	memcpy(start->name, candidate.identity.name, sizeof(start->name));
	start->in_group = candidate.flags & VFM_CANDIDATE_GROUP;
	start->group = candidate.iommu_group;
	for (size_t i = 0; i < index; i++)
		if (!strcmp(s->starts[i].name, start->name))
			return VFMI_FAIL(s->ctx, &start->error, EINVAL, start->name, STEP, "it is named twice");
	return 0;
}

/* How far it came is in the starts themselves. */
static int look_up_all(struct startup *s, struct vfm_start *starts)
{
	int r = 0;

	for (size_t i = 0; i < s->count; i++) {
		s->starts[i].code = -ECANCELED;
		s->starts[i].error.size = sizeof(s->starts[i].error);
	}
	for (size_t i = 0; i < s->count && r == 0; i++) {
		r = look_up(s, i, start_at(starts, i)->open);
		s->starts[i].cancel = cancel_of(start_at(starts, i));
		if (r < 0)
			s->starts[i].code = r;
	}
	return r;
}

/*
 * Opening the first device of a group settles things for all of it, in the kernel as in the library; the first device
 * opened with a token is the one that sets it.
 */
static bool are_chained(const struct start *a, const struct start *b)
{
	if (a->in_group && b->in_group && a->group == b->group)
		return true;
	return a->open.flags & b->open.flags & VFM_OPEN_TOKEN &&
	       !memcmp(a->open.vf_token, b->open.vf_token, sizeof(a->open.vf_token));
}

/* Return: how many chains there are. */
static size_t chain(struct start *starts, size_t count)
{
	size_t chains = count;

	for (size_t i = 0; i < count; i++) {
		starts[i].chain = i;
		for (size_t k = 0; k < i; k++) {
			size_t from = starts[i].chain;
			size_t to = starts[k].chain;

			if (from == to || !are_chained(&starts[i], &starts[k]))
				continue;
			for (size_t n = 0; n <= i; n++)
				if (starts[n].chain == from || starts[n].chain == to)
					starts[n].chain = from < to ? from : to;
			chains--;
		}
	}
	return chains;
}

/* the work */

static bool has_failed(struct startup *s)
{
	bool failed;

	pthread_mutex_lock(&s->lock);
	failed = s->failed;
	pthread_mutex_unlock(&s->lock);
	return failed;
}

static void open_one(struct startup *s, struct start *start)
{
	struct vfmi_sys *sys = s->ctx->sys;
	const uint64_t begin = sys->ops->now_ns(sys);

	start->code = vfmi_device_start(s->ctx, &start->open, s->iommu, start->cancel, &start->dev, &start->error);
	start->ns = sys->ops->now_ns(sys) - begin;
}

static void start_one(struct startup *s, struct start *start)
{
	/* opening resets it, which takes its time and loses what it holds */
	if (vfm_cancel_is_set(start->cancel))
		start->code =
			VFMI_FAIL(s->ctx, &start->error, ECANCELED, start->name, STEP, "canceled before it was opened");
	else
		open_one(s, start);
	if (start->code == 0)
		return;
	pthread_mutex_lock(&s->lock);
	s->failed = true;
	pthread_mutex_unlock(&s->lock);
}

/* The first start of a chain that nobody has, or SIZE_MAX. */
static size_t take_chain(struct startup *s)
{
	size_t taken = SIZE_MAX;

	pthread_mutex_lock(&s->lock);
	while (s->next < s->count && s->starts[s->next].chain != s->next)
		s->next++;
	if (s->next < s->count)
		taken = s->next++;
	pthread_mutex_unlock(&s->lock);
	return taken;
}

static void work(void *arg)
{
	struct startup *s = arg;
	size_t first;

	while ((first = take_chain(s)) != SIZE_MAX)
		for (size_t i = first; i < s->count && !has_failed(s); i++)
			if (s->starts[i].chain == first)
				start_one(s, &s->starts[i]);
}

static void work_all(struct startup *s, size_t threads)
{
	void *tasks[MAX_THREADS];
	size_t count = 0;
	int r = 0;

	while (count + 1 < threads && r == 0) {
		r = vfmi_executor_run(s->ctx, work, s, &tasks[count]);
		if (r == 0)
			count++;
		else
			vfmi_log(s->ctx, VFM_LOG_WARNING, "%s: %zu threads in place of %zu: %s", STEP, count + 1,
				 threads, vfmi_errno_text(-r));
	}
	work(s);
	while (count > 0)
		vfmi_executor_join(s->ctx, tasks[--count]);
}

static size_t close_all(struct startup *s)
{
	size_t closed = 0;

	for (size_t i = 0; i < s->count; i++) {
		struct start *start = &s->starts[i];

		if (start->code != 0)
			continue;
		vfm_device_close(start->dev);
		start->dev = NULL;
		start->code = -ECANCELED;
		closed++;
	}
	return closed;
}

/* Return: what the call returns; on failure nothing is open. */
static int settle(struct startup *s, struct vfm_error *err)
{
	struct start *first = s->starts;
	size_t closed;
	int r;

	while (first < s->starts + s->count && first->error.code == 0)
		first++;
	if (first == s->starts + s->count)
		return 0;
	r = first->code;
	closed = close_all(s);
	if (closed > 0)
		vfmi_error_amend(s->ctx, &first->error, 0, VFM_STATE_UNKNOWN, "%zu other%s closed again", closed,
				 closed == 1 ? " was" : "s were");
	if (err)
		(void)vfmi_sized_out(err, &first->error, sizeof(first->error));
	return r;
}

int vfm_devices_start(struct vfm_context *ctx, struct vfm_iommu *iommu, struct vfm_start *starts, size_t count,
		      uint32_t threads, struct vfm_error *ret_error)
{
	struct startup s = { .ctx = ctx, .iommu = iommu, .count = count };
	size_t chains;
	int r = check_args(ctx, iommu, starts, count, ret_error);

	if (r < 0)
		return r;
	s.starts = calloc(count, sizeof(*s.starts));
	if (!s.starts)
		return VFMI_FAIL(ctx, ret_error, ENOMEM, NULL, STEP, "%s", vfmi_errno_text(ENOMEM));
	/* a default mutex cannot fail to be made */
	(void)pthread_mutex_init(&s.lock, NULL);
	if (look_up_all(&s, starts) == 0) {
		chains = chain(s.starts, count);
		if (threads == 0 || threads > MAX_THREADS)
			threads = MAX_THREADS;
		work_all(&s, threads < chains ? threads : chains);
	}
	r = settle(&s, ret_error);
	give_back(&s, starts);
	pthread_mutex_destroy(&s.lock);
	free(s.starts);
	return r;
}
