/* SPDX-License-Identifier: MIT */
/* Address space object: which back end it stands on, and its life from opening or adoption to the end. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "iommu-backend.h"
#include "iova-ranges.h"

#define OPEN_STEP "open address space"
#define ADOPT_STEP "adopt address space"
#define OPTIONS_MIN VFMI_SIZE_TO(struct vfm_iommu_options, reserved)
#define ADOPT_MIN VFMI_SIZE_TO(struct vfm_iommu_adopt, flags)
#define MAX_ALLOWED 65536u
#define KNOWN_FLAGS (VFM_IOMMU_DIRTY_TRACKING | VFM_IOMMU_ACCOUNT_PROCESS | VFM_IOMMU_SMALL_PAGES)
#define MAX_HWPTS 4096u
#define VFIO_CLASS "/sys/class/vfio-dev"
#define VFIO_NODES "/dev/vfio/devices"

static const char *const names[] = {
	[VFM_BACKEND_UNKNOWN] = "unknown",
	[VFM_BACKEND_IOMMUFD] = "iommufd",
	[VFM_BACKEND_TYPE1] = "type1",
	[VFM_BACKEND_TYPE1V2] = "type1v2",
	[VFM_BACKEND_COMPAT_TYPE1] = "compat-type1",
	[VFM_BACKEND_COMPAT_TYPE1V2] = "compat-type1v2",
};

const char *vfm_backend_name(uint32_t backend)
{
	return names[backend < VFMI_ARRAY_SIZE(names) ? backend : VFM_BACKEND_UNKNOWN];
}

int vfm_backend_from_name(const char *name, uint32_t *ret_backend)
{
	for (uint32_t i = VFM_BACKEND_IOMMUFD; name && i < VFMI_ARRAY_SIZE(names); i++) {
		if (!strcmp(names[i], name)) {
			*ret_backend = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* life */

static struct vfm_iommu *iommu_new(struct vfm_context *ctx, uint32_t backend, uint32_t flags)
{
	struct vfm_iommu *iommu = calloc(1, sizeof(*iommu));

	if (!iommu)
		return NULL;
	iommu->ctx = ctx;
	iommu->sys = ctx->sys;
	iommu->backend = backend;
	iommu->ops = backend == VFM_BACKEND_IOMMUFD ? &vfmi_iommu_ioas : &vfmi_iommu_container;
	iommu->flags = flags;
	iommu->fd = -1;
	iommu->iommufd = __atomic_add_fetch(&ctx->iommufds, 1, __ATOMIC_RELAXED);
	/* default mutexes cannot fail to be made */
	(void)pthread_mutex_init(&iommu->lock, NULL);
	(void)pthread_mutex_init(&iommu->hwpt_lock, NULL);
	return iommu;
}

static void iommu_free(struct vfm_iommu *iommu)
{
	if (iommu->fd >= 0)
		iommu->sys->ops->close(iommu->sys, iommu->fd);
	pthread_mutex_destroy(&iommu->hwpt_lock);
	pthread_mutex_destroy(&iommu->lock);
	free(iommu->hwpts);
	free(iommu->allowed);
	free(iommu->windows.ranges);
	vfm_iova_free(iommu->places);
	free(iommu);
}

void vfm_iommu_close(struct vfm_iommu *iommu)
{
	if (!iommu)
		return;
	pthread_mutex_lock(&iommu->lock);
	vfmi_iommu_drop_areas(iommu, false);
	pthread_mutex_unlock(&iommu->lock);
	if (iommu->ops->close)
		iommu->ops->close(iommu);
	iommu_free(iommu);
}

int vfmi_iommu_open_file(struct vfm_iommu *iommu, const char *path, const char *absent,
			 struct vfmi_iommu_trouble *trouble)
{
	int r = iommu->sys->ops->open(iommu->sys, path, O_RDWR, 0);

	if (r >= 0) {
		iommu->fd = r;
		return 0;
	}
	if (r == -ENOENT || r == -ENODEV || r == -ENXIO)
		return vfmi_iommu_refuse(trouble, r, path, absent);
	if (r == -EACCES || r == -EPERM)
		return vfmi_iommu_refuse(trouble, r, path,
					 "; its owner must let this user in, for example by a udev rule");
	return vfmi_iommu_refuse(trouble, r, path, "");
}

/* choosing */

/* Best first. */
static const uint32_t preference[] = {
	VFM_BACKEND_IOMMUFD,	  VFM_BACKEND_TYPE1V2, VFM_BACKEND_COMPAT_TYPE1V2,
	VFM_BACKEND_COMPAT_TYPE1, VFM_BACKEND_TYPE1,
};

/* What has been tried in vain. @code: of the first, or of the first that a permission stopped. */
struct search {
	int code;
	const char *last_what;
	const char *remedy;
	char text[320];
};

static void note_failure(struct search *search, uint32_t backend, int code, const struct vfmi_iommu_trouble *trouble)
{
	const bool permission = code == -EACCES || code == -EPERM;
	size_t at = strlen(search->text);

	if (search->code == 0 || (permission && search->code != -EACCES && search->code != -EPERM)) {
		search->code = code;
		search->remedy = trouble->remedy;
	}
	/* the two compat modes, and the two of type1, fail alike */
	if (search->last_what && !strcmp(search->last_what, trouble->what))
		return;
	search->last_what = trouble->what;
	snprintf(search->text + at, sizeof(search->text) - at, "%s%s: %s: %s", at ? "; " : "",
		 vfm_backend_name(backend), trouble->what, vfmi_errno_text(-code));
}

/* Failures that say "not this one"; with any other the next would fare no better, or would hide the cause. */
static bool means_next(int code)
{
	switch (-code) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
	case ENOTTY:
	case EINVAL:
	case EOPNOTSUPP:
	case EACCES:
	case EPERM:
		return true;
	default:
		return false;
	}
}

static int note_cdev(void *user, const char *name)
{
	bool *found = user;

	(void)name;
	*found = true;
	return 0;
}

struct class_walk {
	struct vfmi_sys *sys;
	bool any;
};

/* Non-zero for an entry with a device number: it has a cdev. */
static int look_for_dev(void *user, const char *name)
{
	struct class_walk *walk = user;
	char path[sizeof(VFIO_CLASS) + 80];
	char text[32];
	int length = snprintf(path, sizeof(path), VFIO_CLASS "/%s/dev", name);

	walk->any = true;
	return length < (int)sizeof(path) && vfmi_sys_read_file(walk->sys, path, text, sizeof(text)) > 0;
}

/*
 * A kernel may have an iommufd without VFIO_DEVICE_CDEV (before Linux 6.6 all): devices are there and none has a file
 * of its own. With no device there is nothing to see, and the best is assumed.
 */
static bool lacks_cdevs(struct vfmi_sys *sys)
{
	struct class_walk walk = { .sys = sys };
	bool nodes = false;
	int r = sys->ops->listdir(sys, VFIO_NODES, note_cdev, &nodes);

	if (r >= 0 && nodes)
		return false;
	return sys->ops->listdir(sys, VFIO_CLASS, look_for_dev, &walk) == 0 && walk.any;
}

static int open_one(struct vfm_context *ctx, uint32_t backend, uint32_t flags, struct vfm_iommu **ret_iommu,
		    struct vfmi_iommu_trouble *trouble)
{
	struct vfm_iommu *iommu = iommu_new(ctx, backend, flags);
	int r;

	*trouble = (struct vfmi_iommu_trouble){ .what = "memory", .remedy = "" };
	if (!iommu)
		return -ENOMEM;
	r = iommu->ops->open(iommu, trouble);
	if (r < 0)
		iommu_free(iommu);
	else
		*ret_iommu = iommu;
	return r;
}

static int open_preferred(struct vfm_context *ctx, uint32_t backend, struct vfm_iommu **ret_iommu,
			  struct vfmi_iommu_trouble *trouble)
{
	struct vfm_iommu *iommu;
	int r = open_one(ctx, backend, 0, &iommu, trouble);

	if (r < 0)
		return r;
	if (backend == VFM_BACKEND_IOMMUFD && lacks_cdevs(ctx->sys)) {
		vfm_iommu_close(iommu);
		trouble->what = "VFIO devices have no files of their own";
		trouble->remedy = "; the kernel lacks CONFIG_VFIO_DEVICE_CDEV (Linux 6.6)";
		return -EOPNOTSUPP;
	}
	*ret_iommu = iommu;
	return 0;
}

static int open_best(struct vfm_context *ctx, struct vfm_iommu **ret_iommu, struct vfm_error *err)
{
	struct search search = { .remedy = "" };
	int r = -ENODEV;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(preference); i++) {
		struct vfmi_iommu_trouble trouble;
		struct vfm_iommu *iommu;

		r = open_preferred(ctx, preference[i], &iommu, &trouble);
		if (r == 0) {
			snprintf(iommu->fallback, sizeof(iommu->fallback), "%.*s", (int)sizeof(iommu->fallback) - 1,
				 search.text);
			*ret_iommu = iommu;
			return 0;
		}
		note_failure(&search, preference[i], r, &trouble);
		if (!means_next(r)) {
			search.code = r;
			break;
		}
	}
	return VFMI_FAIL(ctx, err, -search.code, NULL, OPEN_STEP, "%s%s", search.text, search.remedy);
}

static int open_wanted(struct vfm_context *ctx, uint32_t backend, uint32_t flags, struct vfm_iommu **ret_iommu,
		       struct vfm_error *err)
{
	struct vfmi_iommu_trouble trouble;
	int r = open_one(ctx, backend, flags, ret_iommu, &trouble);

	if (r == 0)
		return 0;
	return VFMI_FAIL(ctx, err, -r, NULL, OPEN_STEP, "%s: %s: %s%s", vfm_backend_name(backend), trouble.what,
			 vfmi_errno_text(-r), trouble.remedy);
}

static int take_options(struct vfm_context *ctx, const struct vfm_iommu_options *from,
			struct vfm_iommu_options *options, struct vfm_error *err)
{
	int r = from ? vfmi_sized_in(options, sizeof(*options), from, OPTIONS_MIN) : 0;

	if (r < 0)
		return VFMI_FAIL(ctx, err, -r, NULL, OPEN_STEP, "struct vfm_iommu_options of a size not known here");
	if (options->backend >= VFMI_ARRAY_SIZE(names) || options->flags & ~(uint32_t)KNOWN_FLAGS || options->reserved)
		return VFMI_FAIL(ctx, err, EINVAL, NULL, OPEN_STEP, "a back end or flag not known here");
	/* A flag is a wish for what only an iommufd has. */
	if (options->flags && options->backend == VFM_BACKEND_UNKNOWN)
		options->backend = VFM_BACKEND_IOMMUFD;
	if (options->flags && options->backend != VFM_BACKEND_IOMMUFD)
		return VFMI_FAIL(ctx, err, EOPNOTSUPP, NULL, OPEN_STEP,
				 "flags 0x%" PRIx32 " are for iommufd, not for %s", options->flags,
				 vfm_backend_name(options->backend));
	return 0;
}

int vfm_iommu_open(struct vfm_context *ctx, const struct vfm_iommu_options *options, struct vfm_iommu **ret_iommu,
		   struct vfm_error *ret_error)
{
	struct vfm_iommu_options wish = { 0 };
	int r;

	if (!ctx || !ret_iommu)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, OPEN_STEP, "a required argument is NULL");
	r = take_options(ctx, options, &wish, ret_error);
	if (r < 0)
		return r;
	if (wish.backend == VFM_BACKEND_UNKNOWN)
		return open_best(ctx, ret_iommu, ret_error);
	return open_wanted(ctx, wish.backend, wish.flags, ret_iommu, ret_error);
}

static int open_in(struct vfm_iommu *iommu, int fd, struct vfm_error *err)
{
	struct vfmi_iommu_trouble trouble = { .what = "cannot duplicate the descriptor of the iommufd", .remedy = "" };
	int r = iommu->sys->ops->dup(iommu->sys, fd);

	if (r >= 0) {
		iommu->fd = r;
		r = iommu->ops->open(iommu, &trouble);
	}
	return r < 0 ? VFMI_FAIL(iommu->ctx, err, -r, NULL, OPEN_STEP, "%s: %s%s", trouble.what, vfmi_errno_text(-r),
				 trouble.remedy)
		     : 0;
}

int vfm_iommu_open_beside(struct vfm_iommu *iommu, uint32_t flags, struct vfm_iommu **ret_iommu,
			  struct vfm_error *ret_error)
{
	struct vfm_iommu *other;
	int r;

	if (flags & ~(uint32_t)(VFM_IOMMU_DIRTY_TRACKING | VFM_IOMMU_SMALL_PAGES))
		return VFMI_FAIL(iommu->ctx, ret_error, EINVAL, NULL, OPEN_STEP,
				 "flags 0x%" PRIx32 " are not those of one address space among several", flags);
	if (iommu->backend != VFM_BACKEND_IOMMUFD)
		return VFMI_FAIL(iommu->ctx, ret_error, EOPNOTSUPP, NULL, OPEN_STEP,
				 "%s is one address space; an iommufd has room for several",
				 vfm_backend_name(iommu->backend));
	other = iommu_new(iommu->ctx, iommu->backend, flags | (iommu->flags & VFM_IOMMU_ACCOUNT_PROCESS));
	if (!other)
		return VFMI_FAIL(iommu->ctx, ret_error, ENOMEM, NULL, OPEN_STEP, "%s", vfmi_errno_text(ENOMEM));
	other->iommufd = iommu->iommufd;
	r = open_in(other, iommu->fd, ret_error);
	if (r < 0)
		iommu_free(other);
	else
		*ret_iommu = other;
	return r;
}

/* adoption */

static const char *adopt_flaw(const struct vfm_context *ctx, const struct vfm_iommu_adopt *adopt)
{
	const bool container = vfmi_backend_is_container(adopt->backend);

	if (adopt->backend == VFM_BACKEND_UNKNOWN || adopt->backend >= VFMI_ARRAY_SIZE(names))
		return "a back end must be told, and be known here";
	if (adopt->flags & ~(uint32_t)KNOWN_FLAGS || (container && adopt->flags))
		return "a flag not known here, or not of this back end";
	if (!container && adopt->ioas_id == 0)
		return "0 is no IOAS id";
	if (adopt->beside && (container || adopt->beside->backend != VFM_BACKEND_IOMMUFD || adopt->beside->ctx != ctx))
		return "beside another there can be one of an iommufd only, of the same context";
	if (adopt->hwpt_count > MAX_HWPTS || (adopt->hwpt_count > 0 && (container || !adopt->hwpt_ids)))
		return "page tables are told of that there cannot be";
	for (uint32_t i = 0; i < adopt->hwpt_count; i++)
		if (adopt->hwpt_ids[i] == 0)
			return "0 is no page table's id";
	return NULL;
}

static int adopt_space(struct vfm_iommu *iommu, const struct vfm_iommu_adopt *adopt, struct vfm_error *err)
{
	struct vfmi_iommu_trouble trouble = { .what = "", .remedy = "" };
	const int fd = adopt->beside ? adopt->beside->fd : adopt->fd;
	int r = iommu->sys->ops->dup(iommu->sys, fd);

	if (r < 0)
		return VFMI_FAIL(iommu->ctx, err, -r, NULL, ADOPT_STEP, "cannot duplicate descriptor %d: %s", fd,
				 vfmi_errno_text(-r));
	iommu->fd = r;
	if (adopt->beside)
		iommu->iommufd = adopt->beside->iommufd;
	r = iommu->ops->adopt(iommu, &trouble);
	if (r < 0)
		return VFMI_FAIL(iommu->ctx, err, -r, NULL, ADOPT_STEP, "%s: %s: %s%s",
				 vfm_backend_name(iommu->backend), trouble.what, vfmi_errno_text(-r), trouble.remedy);
	r = vfmi_iommu_adopt_hwpts(iommu, adopt->hwpt_ids, adopt->hwpt_count);
	return r < 0 ? VFMI_FAIL(iommu->ctx, err, -r, NULL, ADOPT_STEP, "%s", vfmi_errno_text(-r)) : 0;
}

int vfm_iommu_adopt(struct vfm_context *ctx, const struct vfm_iommu_adopt *adopt, struct vfm_iommu **ret_iommu,
		    struct vfm_error *ret_error)
{
	struct vfm_iommu_adopt from;
	struct vfm_iommu *iommu;
	const char *flaw;
	int r;

	if (!ctx || !ret_iommu || !adopt)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, ADOPT_STEP, "a required argument is NULL");
	r = vfmi_sized_in(&from, sizeof(from), adopt, ADOPT_MIN);
	if (r < 0)
		return VFMI_FAIL(ctx, ret_error, -r, NULL, ADOPT_STEP,
				 "struct vfm_iommu_adopt of a size not known here");
	flaw = adopt_flaw(ctx, &from);
	if (flaw)
		return VFMI_FAIL(ctx, ret_error, EINVAL, NULL, ADOPT_STEP, "%s", flaw);
	iommu = iommu_new(ctx, from.backend, from.flags);
	if (!iommu)
		return VFMI_FAIL(ctx, ret_error, ENOMEM, NULL, ADOPT_STEP, "%s", vfmi_errno_text(ENOMEM));
	iommu->adopted = true;
	iommu->ioas_id = from.ioas_id;
	r = adopt_space(iommu, &from, ret_error);
	if (r < 0)
		iommu_free(iommu);
	else
		*ret_iommu = iommu;
	return r;
}

/* what is known */

uint32_t vfm_iommu_backend(const struct vfm_iommu *iommu)
{
	return iommu ? iommu->backend : VFM_BACKEND_UNKNOWN;
}

int vfm_iommu_fd(const struct vfm_iommu *iommu)
{
	return iommu ? iommu->fd : -1;
}

uint32_t vfm_iommu_ioas_id(const struct vfm_iommu *iommu)
{
	return iommu ? iommu->ioas_id : 0;
}

bool vfmi_iommu_is_beside(const struct vfm_iommu *iommu, const struct vfm_iommu *other)
{
	return iommu && other && iommu->backend == VFM_BACKEND_IOMMUFD && other->backend == VFM_BACKEND_IOMMUFD &&
	       iommu->ctx == other->ctx && iommu->iommufd == other->iommufd;
}

int vfm_iommu_info(struct vfm_iommu *iommu, struct vfm_iommu_info *ret, struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_iommu_info, info);
	int r;

	info.backend = iommu->backend;
	memcpy(info.fallback, iommu->fallback, sizeof(info.fallback));
	pthread_mutex_lock(&iommu->hwpt_lock);
	info.hwpt_count = iommu->hwpt_count;
	info.flags = iommu->flags;
	if (iommu->attached == 0 || iommu->tracked != iommu->attached)
		info.flags &= ~(uint32_t)VFM_IOMMU_DIRTY_TRACKING;
	pthread_mutex_unlock(&iommu->hwpt_lock);
	pthread_mutex_lock(&iommu->lock);
	r = iommu->ops->limits(iommu, &info.page_sizes, &info.entries_left);
	info.areas = iommu->area_count; /* afterwards: it may turn out that all are gone */
	info.mapped_bytes = iommu->mapped_bytes;
	pthread_mutex_unlock(&iommu->lock);
	if (r < 0)
		return VFMI_FAIL(iommu->ctx, ret_error, -r, NULL, "address space", "it does not tell its limits: %s",
				 vfmi_errno_text(-r));
	r = vfmi_sized_out(ret, &info, sizeof(info));
	return r < 0 ? VFMI_FAIL(iommu->ctx, ret_error, -r, NULL, "address space",
				 "struct vfm_iommu_info of a size not known here")
		     : 0;
}

int vfm_iommu_ranges(struct vfm_iommu *iommu, struct vfm_iova_range *ranges, size_t room, size_t *ret_count,
		     uint64_t *ret_align, struct vfm_error *ret_error)
{
	struct vfmi_windows windows;
	int r;

	pthread_mutex_lock(&iommu->lock);
	r = iommu->ops->windows(iommu, &windows);
	pthread_mutex_unlock(&iommu->lock);
	if (r < 0)
		return VFMI_FAIL(iommu->ctx, ret_error, -r, NULL, "IOVA ranges", "%s%s", vfmi_errno_text(-r),
				 r == -EAGAIN ? "; a container has no IOMMU before the first device is bound to it"
					      : "");
	*ret_count = windows.count;
	if (windows.count > room) {
		free(windows.ranges);
		return VFMI_FAIL(iommu->ctx, ret_error, EMSGSIZE, NULL, "IOVA ranges", "room for %zu, there are %zu",
				 room, windows.count);
	}
	if (windows.count)
		memcpy(ranges, windows.ranges, windows.count * sizeof(*ranges));
	free(windows.ranges);
	if (ret_align)
		*ret_align = windows.align;
	return 0;
}

static const char *allow_flaw(const struct vfm_iova_range *ranges, size_t count)
{
	if (count > 0 && !ranges)
		return "there are no ranges";
	if (!vfmi_ranges_sorted(ranges, count))
		return "the ranges are not in order, or meet each other";
	for (size_t i = 0; i < count; i++)
		if (ranges[i].first == ranges[i].last)
			return "a range of one byte is none to the kernel";
	return NULL;
}

/* Under the lock. */
static int allow(struct vfm_iommu *iommu, const struct vfm_iova_range *ranges, size_t count)
{
	struct vfm_iova_range *copy = calloc(count + 1, sizeof(*copy));
	int r;

	if (!copy)
		return -ENOMEM;
	if (count > 0)
		memcpy(copy, ranges, count * sizeof(*copy));
	r = iommu->ops->allow(iommu, ranges, (uint32_t)count);
	if (r < 0) {
		free(copy);
		return r;
	}
	free(iommu->allowed);
	iommu->allowed = copy;
	iommu->allowed_count = count;
	iommu->windows_known = false;
	return 0;
}

int vfm_iommu_allow(struct vfm_iommu *iommu, const struct vfm_iova_range *ranges, size_t count,
		    struct vfm_error *ret_error)
{
	const char *step = "allow IOVAs";
	const char *flaw;
	int r;

	if (!iommu->ops->allow)
		return VFMI_FAIL(iommu->ctx, ret_error, EOPNOTSUPP, NULL, step,
				 "a container has no such promise, an IOAS of an iommufd has");
	if (count > MAX_ALLOWED)
		return VFMI_FAIL(iommu->ctx, ret_error, E2BIG, NULL, step, "%zu ranges are more than %u", count,
				 MAX_ALLOWED);
	flaw = allow_flaw(ranges, count);
	if (flaw)
		return VFMI_FAIL(iommu->ctx, ret_error, EINVAL, NULL, step, "%s", flaw);
	pthread_mutex_lock(&iommu->lock);
	r = allow(iommu, ranges, count);
	pthread_mutex_unlock(&iommu->lock);
	if (r < 0)
		return VFMI_FAIL(iommu->ctx, ret_error, -r, NULL, step, "%s%s", vfmi_errno_text(-r),
				 r == -EADDRINUSE ? "; a device that is attached cannot reach all of them" : "");
	return 0;
}
