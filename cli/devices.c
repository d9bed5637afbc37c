/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Getting hold of devices in each of the forms a command line has for them, and letting go again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "in-use.h"

#define FD_PREFIX "fd:"
#define PIDFD_PREFIX "pidfd:"
#define SCM_PREFIX "scm:"

/* Its descriptors are told by number: our own ones, or those of a process. */
static bool is_described(const char *spec)
{
	return has_prefix(spec, FD_PREFIX) || has_prefix(spec, PIDFD_PREFIX);
}

bool device_is_lent(const char *spec)
{
	return is_described(spec) || has_prefix(spec, SCM_PREFIX);
}

/* "PATH#INDEX": @path gets PATH (free()), *ret_index the number or SIZE_MAX. */
static int split_scm(struct cli *cli, const char *spec, char **ret_path, size_t *ret_index)
{
	const char *path = spec + strlen(SCM_PREFIX), *hash = strrchr(path, '#');
	uint64_t index;

	*ret_index = SIZE_MAX;
	if (hash && parse_number(hash + 1, VFM_STREAM_MAX_DEVICES - 1, &index) < 0)
		return cli_usage(cli, "'%s': what follows # is not the index of a device", spec);
	if (hash)
		*ret_index = index;
	*ret_path = hash ? strndup(path, (size_t)(hash - path)) : strdup(path);
	if (!*ret_path)
		return cli_fail_memory(cli);
	if (**ret_path)
		return 0;
	free(*ret_path);
	return cli_usage(cli, "'%s': the path of a holder's socket is missing", spec);
}

/* @ret is what a name stands for; not filled for what is lent. */
static int check_one(struct cli *cli, const char *spec, struct vfm_candidate *ret)
{
	VFM_OPTS(vfm_error, error);
	char *path = NULL;
	size_t index;
	int r;

	if (is_described(spec))
		return 0;
	if (has_prefix(spec, SCM_PREFIX)) {
		r = split_scm(cli, spec, &path, &index);
		if (r == 0)
			free(path);
		return r;
	}
	ret->size = sizeof(*ret);
	r = vfm_find(cli->ctx, spec, ret, &error);
	return r < 0 ? cli_fail(cli, CLI_STAGE_OPEN, &error, NULL) : 0;
}

/* An address and a cdev may mean the same device. */
static bool is_among(const struct vfm_candidate *candidate, const struct vfm_candidate *others, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (*candidate->identity.name && !strcmp(candidate->identity.name, others[i].identity.name))
			return true;
	}
	return false;
}

int devices_check(struct cli *cli, char **specs, size_t count)
{
	struct vfm_candidate *found = calloc(count, sizeof(*found));
	int r = found ? 0 : cli_fail_memory(cli);

	for (size_t i = 0; i < count && r == 0; i++) {
		r = check_one(cli, specs[i], &found[i]);
		if (r == 0 && is_among(&found[i], found, i))
			r = cli_usage(cli, "%s is named twice", found[i].identity.name);
	}
	free(found);
	return r;
}

static int append(struct cli *cli, struct cli_devices *devices, struct cli_device item)
{
	struct cli_device *items;

	if (devices->count >= VFM_STREAM_MAX_DEVICES)
		return cli_usage(cli, "at most %u devices at once", VFM_STREAM_MAX_DEVICES);
	items = realloc(devices->items, (devices->count + 1) * sizeof(*items));
	if (!items)
		return cli_fail_memory(cli);
	items[devices->count++] = item;
	devices->items = items;
	return 0;
}

/* Through its own file or that of its group. On a simulated machine nobody has a real file open. */
static void tell_holder(struct cli *cli, const char *spec)
{
	struct vfm_candidate candidate = { .size = sizeof(candidate) };
	char group[32];
	char holder[64];

	if (cli_is_simulated(cli) || vfm_find(cli->ctx, spec, &candidate, NULL) < 0)
		return;
	snprintf(group, sizeof(group), "/dev/vfio/%u", candidate.iommu_group);
	if ((*candidate.cdev && in_use_by(candidate.cdev, holder, sizeof(holder))) ||
	    (candidate.flags & VFM_CANDIDATE_GROUP && in_use_by(group, holder, sizeof(holder))))
		cli_warn(cli, "%s is held by process %s", spec, holder);
}

/* The back end that --iommu= asks for. */
static uint32_t wanted_backend(const struct cli *cli)
{
	const char *name = cli->globals.iommu;
	uint32_t backend = VFM_BACKEND_UNKNOWN;

	if (!name || !strcmp(name, "auto"))
		return VFM_BACKEND_UNKNOWN;
	if (!strcmp(name, "compat"))
		return VFM_BACKEND_COMPAT_TYPE1V2;
	return vfm_backend_from_name(name, &backend) < 0 ? VFM_BACKEND_UNKNOWN : backend;
}

/* Options that only an IOAS has take the choice away: so it is asked for only when it was chosen. */
static int open_tracked(struct cli *cli, struct cli_devices *devices, struct vfm_error *error)
{
	VFM_OPTS(vfm_iommu_options, options);

	vfm_iommu_close(devices->iommu);
	devices->iommu = NULL;
	options.backend = VFM_BACKEND_IOMMUFD;
	options.flags = VFM_IOMMU_DIRTY_TRACKING;
	return vfm_iommu_open(cli->ctx, &options, &devices->iommu, error);
}

static int open_space(struct cli *cli, struct cli_devices *devices, struct vfm_error *error)
{
	struct vfm_iommu_info info = { .size = sizeof(info) };
	VFM_OPTS(vfm_iommu_options, options);
	int r;

	options.backend = wanted_backend(cli);
	r = vfm_iommu_open(cli->ctx, &options, &devices->iommu, error);
	if (r == 0 && devices->tracked && vfm_iommu_backend(devices->iommu) == VFM_BACKEND_IOMMUFD)
		r = open_tracked(cli, devices, error);
	if (r < 0)
		return r;
	if (vfm_iommu_info(devices->iommu, &info, NULL) == 0 && info.fallback[0])
		cli_note(cli, "address space: %s, since %s", vfm_backend_name(info.backend), info.fallback);
	return 0;
}

/* All that were named by their name, at once: each is reset by that, which takes a tenth of a second and more. */
static int start_named(struct cli *cli, struct cli_devices *devices)
{
	struct vfm_start starts[VFM_STREAM_MAX_DEVICES];
	struct vfm_open opens[VFM_STREAM_MAX_DEVICES];
	struct cli_device *items[VFM_STREAM_MAX_DEVICES];
	VFM_OPTS(vfm_error, error);
	size_t count = 0;
	int r;

	for (size_t i = 0; i < devices->count; i++) {
		if (devices->items[i].dev)
			continue;
		items[count] = &devices->items[i];
		opens[count] = (struct vfm_open){ .size = sizeof(*opens), .name = items[count]->spec };
		starts[count] = (struct vfm_start){ .size = sizeof(*starts), .open = &opens[count] };
		starts[count].cancel = cli->cancel;
		count++;
	}
	if (count == 0)
		return 0;
	r = open_space(cli, devices, &error);
	if (r == 0)
		r = vfm_devices_start(cli->ctx, devices->iommu, starts, count, 0, &error);
	for (size_t i = 0; i < count; i++) {
		if (starts[i].ret_code == -EBUSY)
			tell_holder(cli, items[i]->spec);
		items[i]->dev = starts[i].ret_dev;
	}
	return r < 0 ? cli_fail(cli, CLI_STAGE_OPEN, &error, NULL) : 0;
}

static int open_described(struct cli *cli, const char *spec, struct cli_devices *devices)
{
	struct cli_device item = { .spec = spec };
	VFM_OPTS(vfm_error, error);
	int r = vfm_device_adopt_described(cli->ctx, spec, &item.dev, &error);

	if (r < 0)
		return cli_fail(cli, CLI_STAGE_OPEN, &error, NULL);
	r = append(cli, devices, item);
	if (r)
		vfm_device_close(item.dev);
	return r;
}

/*
 * A holder that is not there, busy or unwilling is a device that cannot be had; only one that talks nonsense, or not at
 * all, is a peer's trouble.
 */
static int fail_borrow(struct cli *cli, struct vfm_error *error)
{
	if (error->code == ETIMEDOUT)
		error->flags |= VFM_ERROR_RETRYABLE;
	else if (error->code != EPROTO)
		error->flags &= ~(uint32_t)VFM_ERROR_PEER;
	return cli_fail(cli, CLI_STAGE_OPEN, error, NULL);
}

/* A holder lends to one borrower at a time, so one that is named twice is asked once. Takes @path over. */
static int find_borrow(struct cli *cli, char *path, struct cli_devices *devices, struct vfm_borrow **ret_borrow)
{
	struct vfm_borrow_opts opts = { .size = sizeof(opts), .cancel = cli->cancel };
	VFM_OPTS(vfm_error, error);
	struct vfm_borrow **borrows;
	char **paths;
	size_t n = devices->borrow_count;

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(devices->borrow_paths[i], path)) {
			*ret_borrow = devices->borrows[i];
			free(path);
			return 0;
		}
	}
	borrows = realloc(devices->borrows, (n + 1) * sizeof(*borrows));
	if (borrows)
		devices->borrows = borrows;
	paths = realloc(devices->borrow_paths, (n + 1) * sizeof(*paths));
	if (paths)
		devices->borrow_paths = paths;
	if (!borrows || !paths || vfm_borrow_open(cli->ctx, path, &opts, &borrows[n], &error) < 0) {
		free(path);
		return borrows && paths ? fail_borrow(cli, &error) : cli_fail_memory(cli);
	}
	paths[n] = path;
	devices->borrow_count++;
	*ret_borrow = borrows[n];
	return 0;
}

static int open_borrowed(struct cli *cli, const char *spec, struct cli_devices *devices)
{
	struct vfm_borrow *borrow = NULL;
	size_t index, first, end;
	char *path = NULL;
	int r = split_scm(cli, spec, &path, &index);

	if (r == 0)
		r = find_borrow(cli, path, devices, &borrow);
	if (r)
		return r;
	first = index == SIZE_MAX ? 0 : index;
	end = index == SIZE_MAX ? vfm_borrow_count(borrow) : index + 1;
	if (end > vfm_borrow_count(borrow) || first == end)
		return cli_fail_at(cli, CLI_UNAVAILABLE, spec, "borrow", "%s: %zu %s lent there, from #0", spec,
				   vfm_borrow_count(borrow),
				   vfm_borrow_count(borrow) == 1 ? "device is" : "devices are");
	for (size_t i = first; i < end && r == 0; i++)
		r = append(cli, devices, (struct cli_device){ .dev = vfm_borrow_device(borrow, i), .spec = spec });
	return r;
}

static int open_one(struct cli *cli, const char *spec, struct cli_devices *devices)
{
	if (is_described(spec))
		return open_described(cli, spec, devices);
	if (has_prefix(spec, SCM_PREFIX))
		return open_borrowed(cli, spec, devices);
	/* its place among them; start_named() opens it */
	return append(cli, devices, (struct cli_device){ .spec = spec, .opened_here = true });
}

static const struct cli_device *find_twice(const struct cli_devices *devices)
{
	for (size_t i = 0; i < devices->count; i++) {
		for (size_t k = 0; k < i; k++) {
			if (devices->items[i].dev && devices->items[i].dev == devices->items[k].dev)
				return &devices->items[i];
		}
	}
	return NULL;
}

int devices_open_checked(struct cli *cli, char **specs, size_t count, bool tracked, devices_checker *check, void *user,
			 struct cli_devices *ret)
{
	int r = 0;

	*ret = (struct cli_devices){ .tracked = tracked };
	for (size_t i = 0; i < count && r == 0; i++)
		r = open_one(cli, specs[i], ret);
	if (r == 0 && find_twice(ret))
		r = cli_usage(cli, "%s is named twice", vfm_device_name(find_twice(ret)->dev));
	if (r == 0 && check)
		r = check(cli, ret, user);
	if (r == 0)
		r = start_named(cli, ret);
	if (r)
		devices_close(ret);
	return r;
}

int devices_open(struct cli *cli, char **specs, size_t count, struct cli_devices *ret)
{
	return devices_open_checked(cli, specs, count, false, NULL, NULL, ret);
}

int devices_windows(struct cli *cli, struct vfm_iommu *iommu, struct vfm_iova_range **ret, size_t *ret_count,
		    uint64_t *ret_alignment)
{
	VFM_OPTS(vfm_error, error);
	int r;

	*ret = NULL;
	*ret_count = 0;
	r = vfm_iommu_ranges(iommu, NULL, 0, ret_count, ret_alignment, &error);
	while (r == -EMSGSIZE) {
		free(*ret);
		*ret = calloc(*ret_count, sizeof(**ret));
		if (!*ret)
			return cli_fail_memory(cli);
		r = vfm_iommu_ranges(iommu, *ret, *ret_count, ret_count, ret_alignment, &error);
	}
	return r < 0 ? cli_fail(cli, CLI_STAGE_OPEN, &error, NULL) : 0;
}

static bool is_borrowed(const struct cli_device *item)
{
	return has_prefix(item->spec, SCM_PREFIX);
}

void devices_close(struct cli_devices *devices)
{
	for (size_t i = 0; i < devices->count; i++) {
		if (!is_borrowed(&devices->items[i]))
			vfm_device_close(devices->items[i].dev);
	}
	for (size_t i = 0; i < devices->borrow_count; i++) {
		vfm_borrow_close(devices->borrows[i]);
		free(devices->borrow_paths[i]);
	}
	vfm_iommu_close(devices->iommu);
	free(devices->borrows);
	free(devices->borrow_paths);
	free(devices->items);
	*devices = (struct cli_devices){ 0 };
}

void devices_handles(const struct cli_devices *devices, struct vfm_device **out)
{
	for (size_t i = 0; i < devices->count; i++)
		out[i] = devices->items[i].dev;
}

void devices_split_last(struct cli_devices *devices, struct cli_devices *ret)
{
	const struct cli_device *last = &devices->items[devices->count - 1];

	*ret = (struct cli_devices){ 0 };
	if (is_borrowed(last))
		return;
	ret->items = malloc(sizeof(*ret->items));
	if (!ret->items)
		return;
	ret->items[ret->count++] = *last;
	devices->count--;
	if (last->opened_here) {
		ret->iommu = devices->iommu;
		devices->iommu = NULL;
	}
}

bool devices_any_opened_here(const struct cli_devices *devices)
{
	for (size_t i = 0; i < devices->count; i++) {
		if (devices->items[i].opened_here)
			return true;
	}
	return false;
}

bool devices_have_space(const struct cli_devices *devices)
{
	for (size_t i = 0; i < devices->count; i++) {
		if (devices->items[i].opened_here || !vfm_device_iommu(devices->items[i].dev))
			return false;
	}
	return true;
}

void device_warn_open(struct cli *cli, const char *spec)
{
	cli_warn(cli, "%s is opened now; vfio-pci resets it by that, and again when it is closed", spec);
}

uint32_t device_state(struct vfm_device *dev)
{
	uint32_t state;

	return vfm_device_get_state(dev, &state, NULL) < 0 ? VFM_STATE_UNKNOWN : state;
}
