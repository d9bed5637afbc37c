/* SPDX-License-Identifier: MIT */
/* Interrupts of a device: what there is, arming with eventfds and taking that back. Keeps a duplicate of each eventfd.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "device-body.h"

static int fail_irq(struct vfm_device *dev, struct vfm_error *err, int code, const char *step, uint32_t index,
		    const char *why)
{
	return VFMI_FAIL(dev->ctx, err, code, dev->name, step, "interrupt index %" PRIu32 ": %s", index, why);
}

/* the table; under the io lock */

static void close_fd(struct vfm_device *dev, int fd)
{
	if (fd >= 0)
		dev->sys->ops->close(dev->sys, fd);
}

static int vectors_fd(const struct vfmi_vectors *vectors, uint32_t vector)
{
	return vector < vectors->room ? vectors->fds[vector] : -1;
}

static uint32_t vectors_armed(const struct vfmi_vectors *vectors)
{
	uint32_t armed = 0;

	for (uint32_t i = 0; i < vectors->room; i++)
		armed += vectors->fds[i] >= 0;
	return armed;
}

static int vectors_grow(struct vfmi_vectors *vectors, uint32_t room)
{
	int *fds;
	uint8_t *loan;

	if (room <= vectors->room)
		return 0;
	fds = realloc(vectors->fds, room * sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	vectors->fds = fds;
	loan = realloc(vectors->loan, room * sizeof(*loan));
	if (!loan)
		return -ENOMEM;
	vectors->loan = loan;
	for (uint32_t i = vectors->room; i < room; i++) {
		fds[i] = -1;
		loan[i] = 0;
	}
	vectors->room = room;
	return 0;
}

/* Takes @fd. */
static void vectors_set(struct vfm_device *dev, struct vfmi_vectors *vectors, uint32_t vector, int fd)
{
	/* What was not armed and is not going to be has not changed. */
	if (fd >= 0 || vectors->fds[vector] >= 0)
		vectors->loan[vector] |= VFMI_LOAN_CHANGED;
	close_fd(dev, vectors->fds[vector]);
	vectors->fds[vector] = fd;
	vectors->watched = false;
}

static void vectors_clear(struct vfm_device *dev, struct vfmi_vectors *vectors)
{
	for (uint32_t i = 0; i < vectors->room; i++)
		vectors_set(dev, vectors, i, -1);
	vectors->enabled = false;
}

void vfmi_device_irq_clear(struct vfm_device *dev)
{
	for (uint32_t i = 0; i < VFMI_MAX_IRQ_INDEXES; i++) {
		vectors_clear(dev, &dev->irqs[i]);
		free(dev->irqs[i].fds);
		free(dev->irqs[i].loan);
		dev->irqs[i] = (struct vfmi_vectors){ 0 };
	}
}

/* the kernel's side */

static int ask_irq(struct vfm_device *dev, uint32_t index, const char *step, struct vfio_irq_info *ret,
		   struct vfm_error *err)
{
	int r = vfmi_device_need_bound(dev, step, err);

	if (r < 0)
		return r;
	if (index >= VFMI_MAX_IRQ_INDEXES)
		return fail_irq(dev, err, EINVAL, step, index, "no device has that many");
	r = vfmi_vfio_irq_info(dev->sys, dev->fd, index, ret);
	if (r < 0)
		return fail_irq(dev, err, -r, step, index, vfmi_errno_text(-r));
	if (ret->count > VFMI_MAX_VECTORS)
		return fail_irq(dev, err, EIO, step, index, "the kernel reports more vectors than there can be");
	return 0;
}

/* Return: 0, -errno, or above 0: the platform gives so many vectors and not all; then no vector is enabled. */
static int set_eventfds(struct vfm_device *dev, uint32_t index, uint32_t start, uint32_t count, const int32_t *fds)
{
	return vfmi_vfio_set_irqs(dev->sys, dev->fd, index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				  start, count, fds, count * sizeof(*fds));
}

static int disable_all(struct vfm_device *dev, uint32_t index)
{
	int r = vfmi_vfio_set_irqs(dev->sys, dev->fd, index, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0,
				   NULL, 0);

	return r > 0 ? -EIO : r;
}

int vfm_device_irq(struct vfm_device *dev, uint32_t index, struct vfm_irq *ret, struct vfm_error *ret_error)
{
	VFM_OPTS(vfm_irq, irq);
	struct vfio_irq_info info = { 0 };
	int r;

	r = ask_irq(dev, index, "interrupt info", &info, ret_error);
	if (r < 0)
		return r;
	irq.flags = info.flags;
	irq.index = index;
	irq.count = info.count;
	pthread_mutex_lock(&dev->io_lock);
	irq.armed = vectors_armed(&dev->irqs[index]);
	pthread_mutex_unlock(&dev->io_lock);
	r = vfmi_sized_out(ret, &irq, sizeof(irq));
	return r < 0 ? fail_irq(dev, ret_error, -r, "interrupt info", index, "size of the caller's struct") : 0;
}

/* arming */

/*
 * INTx of a PCI device whose pin leads nowhere. vfio-pci shows such a pin as none and counts no vector (also for a line
 * that is not connected, since Linux 6.13); elsewhere arming is what finds it out: ENODEV, or ENOTCONN before 6.12.
 */
static int fail_unwired(struct vfm_device *dev, const char *step, struct vfm_error *err)
{
	return fail_irq(dev, err, EOPNOTSUPP, step, VFM_IRQ_INTX,
			"INTx is not wired on this host; the device has to use MSI or MSI-X");
}

static bool is_pci(struct vfm_device *dev)
{
	struct vfio_device_info info;

	return vfmi_vfio_device_info(dev->sys, dev->fd, &info) == 0 && info.flags & VFIO_DEVICE_FLAGS_PCI;
}

static bool is_pci_intx(struct vfm_device *dev, uint32_t index)
{
	return index == VFM_IRQ_INTX && is_pci(dev);
}

static int check_range(struct vfm_device *dev, uint32_t index, uint32_t start, uint32_t count, const char *step,
		       struct vfio_irq_info *ret_info, struct vfm_error *err)
{
	struct vfio_irq_info info = { 0 };
	int r = ask_irq(dev, index, step, &info, err);

	if (r < 0)
		return r;
	if (info.count == 0 && is_pci_intx(dev, index))
		return fail_unwired(dev, step, err);
	if (count == 0 || start >= info.count || count > info.count - start)
		return VFMI_FAIL(dev->ctx, err, EINVAL, dev->name, step,
				 "interrupt index %" PRIu32 " has %" PRIu32 " vectors; %" PRIu32 " from %" PRIu32
				 " on are not among them",
				 index, info.count, count, start);
	if (!(info.flags & VFIO_IRQ_INFO_EVENTFD))
		return fail_irq(dev, err, EOPNOTSUPP, step, index, "it does not signal eventfds");
	*ret_info = info;
	return 0;
}

static void close_all(struct vfm_device *dev, int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		close_fd(dev, fds[i]);
	free(fds);
}

/* Duplicates of @count eventfds, -1 for -1; malloc()ed. */
static int dup_all(struct vfm_device *dev, const int *eventfds, uint32_t count, int **ret_fds)
{
	int *fds = malloc(count * sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		fds[i] = eventfds[i] < 0 ? -1 : dev->sys->ops->dup(dev->sys, eventfds[i]);
		if (eventfds[i] >= 0 && fds[i] < 0) {
			int r = fds[i];

			close_all(dev, fds, i);
			return r;
		}
	}
	*ret_fds = fds;
	return 0;
}

/*
 * After a failed SET_IRQS the kernel has undone what it armed, and with it what stood there before: that is put back.
 * Where even this fails no vector of the range is taken to be armed. An adopted device may have vectors that its lender
 * did not declare: there an empty table is no reason to disable the index.
 */
static const char *rearm(struct vfm_device *dev, uint32_t index, uint32_t start, uint32_t count)
{
	struct vfmi_vectors *vectors = &dev->irqs[index];
	int r;

	if (vectors_armed(vectors) == 0 && dev->adopted)
		return "what the lender armed of them is not known, and of INTx, MSI and MSI-X one is enabled at a "
		       "time";
	if (vectors_armed(vectors) == 0) {
		r = disable_all(dev, index);
		vectors->enabled = vectors->enabled && r < 0 && r != -EINVAL;
		return r == 0 || r == -EINVAL ? "none of them is armed" : "some of them may be armed";
	}
	if (set_eventfds(dev, index, start, count, vectors->fds + start) == 0)
		return "they are armed as they were";
	for (uint32_t i = start; i < start + count; i++)
		vectors_set(dev, vectors, i, -1);
	return "they could not be armed as they were and count as disarmed";
}

/* One past the last vector that is armed. */
static uint32_t vectors_end(const struct vfmi_vectors *vectors)
{
	uint32_t end = vectors->room;

	while (end > 0 && vectors->fds[end - 1] < 0)
		end--;
	return end;
}

/* What came while the index was off is not known: each is signalled once, which a driver takes for a spurious one. */
static void signal_all(struct vfm_device *dev, const struct vfmi_vectors *vectors, uint32_t end)
{
	const uint64_t one = 1;

	for (uint32_t i = 0; i < end; i++)
		if (vectors->fds[i] >= 0)
			(void)dev->sys->ops->write(dev->sys, vectors->fds[i], &one, sizeof(one));
}

/* The index is off, or may be: as it was with @vectors; what cannot be had back counts as disarmed. */
static void restore_all(struct vfm_device *dev, uint32_t index, struct vfmi_vectors *vectors, uint32_t end)
{
	if (end > 0 && set_eventfds(dev, index, 0, end, vectors->fds) == 0)
		signal_all(dev, vectors, end);
	else
		vectors_clear(dev, vectors);
}

/*
 * Where vectors cannot be added (VFIO_IRQ_INFO_NORESIZE: MSI, and MSI-X before Linux 6.5 or on some platforms) all are
 * taken down and armed together with the new ones. vectors->room is enough; @r: of taking them down.
 */
static int arm_all_anew(struct vfm_device *dev, uint32_t index, uint32_t start, uint32_t count, const int *fds, int r)
{
	struct vfmi_vectors *vectors = &dev->irqs[index];
	const uint32_t before = vectors_end(vectors);
	const uint32_t end = before > start + count ? before : start + count;
	int *all = malloc(end * sizeof(*all));

	if (r == 0 && !all)
		r = -ENOMEM;
	if (r == 0) {
		memcpy(all, vectors->fds, end * sizeof(*all));
		memcpy(all + start, fds, count * sizeof(*all));
		r = set_eventfds(dev, index, 0, end, all);
	}
	if (r == 0)
		signal_all(dev, vectors, before);
	else
		restore_all(dev, index, vectors, before);
	free(all);
	return r;
}

/*
 * The kernel's word for vectors beyond those that were enabled first. They stay enabled when the last one is disarmed
 * by -1, so an empty table proves nothing; what the lender of an adopted device enabled is not ours to take down.
 */
static bool wants_resize(const struct vfm_device *dev, const struct vfio_irq_info *info, uint32_t end, int r)
{
	const struct vfmi_vectors *vectors = &dev->irqs[info->index];

	return r == -EINVAL && info->flags & VFIO_IRQ_INFO_NORESIZE && (vectors_armed(vectors) > 0 || !dev->adopted) &&
	       end > vectors_end(vectors);
}

/* The other one of INTx, MSI and MSI-X that is enabled, as far as is known here; else @index. */
static uint32_t rival_of(struct vfm_device *dev, uint32_t index)
{
	if (index > VFM_IRQ_MSIX || vectors_armed(&dev->irqs[index]) > 0)
		return index;
	for (uint32_t i = VFM_IRQ_INTX; i <= VFM_IRQ_MSIX; i++)
		if (i != index && (dev->irqs[i].enabled || vectors_armed(&dev->irqs[i]) > 0) && is_pci(dev))
			return i;
	return index;
}

static int fail_rival(struct vfm_device *dev, uint32_t index, uint32_t rival, struct vfm_error *err)
{
	static const char *const names[] = { "INTx", "MSI", "MSI-X" };

	return VFMI_FAIL(dev->ctx, err, EBUSY, dev->name, "arm interrupts",
			 "interrupt index %" PRIu32 ": %s (index %" PRIu32 ") is enabled, and of INTx, MSI and MSI-X "
			 "one is at a time; disarm it first",
			 index, names[rival], rival);
}

static int fail_arm(struct vfm_device *dev, const struct vfio_irq_info *info, uint32_t start, uint32_t count, int code,
		    struct vfm_error *err)
{
	const uint32_t index = info->index;

	if (code == EINVAL && info->flags & VFIO_IRQ_INFO_NORESIZE && dev->adopted &&
	    vectors_armed(&dev->irqs[index]) == 0 && (index == VFM_IRQ_MSI || index == VFM_IRQ_MSIX))
		return fail_irq(
			dev, err, EBUSY, "arm interrupts", index,
			"vectors cannot be added to those that are enabled, nor while INTx or the other one of MSI and "
			"MSI-X is enabled, and what is was not told with the device; disarm all of it first");
	return VFMI_FAIL(dev->ctx, err, code, dev->name, "arm interrupts",
			 "interrupt index %" PRIu32 ", vectors %" PRIu32 " to %" PRIu32 ": %s; %s", index, start,
			 start + count - 1, vfmi_errno_text(code), rearm(dev, index, start, count));
}

/* @r of set_eventfds(); what is armed is as the table says. */
static int fail_set(struct vfm_device *dev, uint32_t index, uint32_t wanted, int r, struct vfm_error *err)
{
	const char *now = vectors_armed(&dev->irqs[index]) ? "they are armed as they were" : "none is armed";

	if (r > 0)
		return VFMI_FAIL(dev->ctx, err, ENOSPC, dev->name, "arm interrupts",
				 "interrupt index %" PRIu32 ": %" PRIu32 " vectors are needed and the platform gives "
				 "%d; %s",
				 index, wanted, r, now);
	return VFMI_FAIL(dev->ctx, err, -r, dev->name, "arm interrupts",
			 "interrupt index %" PRIu32 ", all vectors anew: %s; %s", index, vfmi_errno_text(-r), now);
}

/* Also where vectors have to be added to enabled ones. @ret_told: the failure is in @err. */
static int set_or_anew(struct vfm_device *dev, const struct vfio_irq_info *info, uint32_t start, uint32_t count,
		       const int *fds, bool *ret_told, struct vfm_error *err)
{
	struct vfmi_vectors *vectors = &dev->irqs[info->index];
	int r = set_eventfds(dev, info->index, start, count, fds);
	int off;

	if (r > 0)
		vectors_clear(dev, vectors); /* the kernel had none of them */
	*ret_told = r > 0;
	if (wants_resize(dev, info, start + count, r)) {
		off = disable_all(dev, info->index);
		if (off == -EINVAL && vectors_armed(vectors) == 0)
			return r; /* it was not enabled, so that is not why */
		r = arm_all_anew(dev, info->index, start, count, fds, off);
		*ret_told = r != 0;
	}
	return *ret_told ? fail_set(dev, info->index, start + count, r, err) : r;
}

/* Where the kernel enabled one of INTx, MSI and MSI-X, it had none of the others. */
static void note_enabled(struct vfm_device *dev, uint32_t index)
{
	for (uint32_t i = VFM_IRQ_INTX; i <= VFM_IRQ_MSIX && index <= VFM_IRQ_MSIX; i++)
		dev->irqs[i].enabled = false;
	dev->irqs[index].enabled = true;
}

/* Under the io lock; takes @fds, which are ours, on success. */
static int arm_vectors(struct vfm_device *dev, const struct vfio_irq_info *info, uint32_t start, uint32_t count,
		       const int *fds, struct vfm_error *err)
{
	struct vfmi_vectors *vectors = &dev->irqs[info->index];
	int r = vectors_grow(vectors, start + count);
	uint32_t rival;
	bool told;

	if (r < 0)
		return fail_irq(dev, err, -r, "arm interrupts", info->index, vfmi_errno_text(-r));
	r = set_or_anew(dev, info, start, count, fds, &told, err);
	if (told)
		return r;
	if ((r == -ENODEV || r == -ENOTCONN) && is_pci_intx(dev, info->index))
		return fail_unwired(dev, "arm interrupts", err);
	rival = r == -EINVAL ? rival_of(dev, info->index) : info->index;
	if (rival != info->index)
		return fail_rival(dev, info->index, rival, err);
	if (r < 0)
		return fail_arm(dev, info, start, count, -r, err);
	for (uint32_t i = 0; i < count; i++)
		vectors_set(dev, vectors, start + i, fds[i]);
	note_enabled(dev, info->index);
	return 0;
}

int vfm_device_irq_arm(struct vfm_device *dev, uint32_t index, uint32_t start, uint32_t count, const int *eventfds,
		       struct vfm_error *ret_error)
{
	struct vfio_irq_info info = { 0 };
	int *fds;
	int r;

	r = check_range(dev, index, start, count, "arm interrupts", &info, ret_error);
	if (r < 0)
		return r;
	r = dup_all(dev, eventfds, count, &fds);
	if (r < 0)
		return fail_irq(dev, ret_error, -r, "arm interrupts", index, vfmi_errno_text(-r));
	pthread_mutex_lock(&dev->io_lock);
	r = arm_vectors(dev, &info, start, count, fds, ret_error);
	pthread_mutex_unlock(&dev->io_lock);
	if (r < 0)
		close_all(dev, fds, count);
	else
		free(fds);
	return r;
}

int vfm_device_irq_disarm(struct vfm_device *dev, uint32_t index, struct vfm_error *ret_error)
{
	struct vfio_irq_info info = { 0 };
	int r;

	r = ask_irq(dev, index, "disarm interrupts", &info, ret_error);
	if (r < 0)
		return r;
	pthread_mutex_lock(&dev->io_lock);
	r = disable_all(dev, index);
	if (r == -EINVAL && vectors_armed(&dev->irqs[index]) == 0)
		r = 0; /* how vfio-pci says that the index was not enabled */
	if (r == 0)
		vectors_clear(dev, &dev->irqs[index]);
	pthread_mutex_unlock(&dev->io_lock);
	return r < 0 ? fail_irq(dev, ret_error, -r, "disarm interrupts", index, vfmi_errno_text(-r)) : 0;
}

int vfm_device_irq_eventfd(const struct vfm_device *dev, uint32_t index, uint32_t vector)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&dev->io_lock;
	int fd;

	if (index >= VFMI_MAX_IRQ_INDEXES)
		return -1;
	pthread_mutex_lock(lock);
	fd = vectors_fd(&dev->irqs[index], vector);
	pthread_mutex_unlock(lock);
	return fd;
}

int vfm_device_irq_trigger(struct vfm_device *dev, uint32_t index, uint32_t vector, struct vfm_error *ret_error)
{
	struct vfio_irq_info info = { 0 };
	const uint8_t fire = 1;
	int r;

	r = check_range(dev, index, vector, 1, "trigger interrupt", &info, ret_error);
	if (r < 0)
		return r;
	r = vfmi_vfio_set_irqs(dev->sys, dev->fd, index, VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, vector,
			       1, &fire, sizeof(fire));
	return r < 0 ? fail_irq(dev, ret_error, -r, "trigger interrupt", index, vfmi_errno_text(-r)) : 0;
}

int vfm_device_irq_mask(struct vfm_device *dev, uint32_t index, bool masked, struct vfm_error *ret_error)
{
	uint32_t action = masked ? VFIO_IRQ_SET_ACTION_MASK : VFIO_IRQ_SET_ACTION_UNMASK;
	const char *step = masked ? "mask interrupt" : "unmask interrupt";
	struct vfio_irq_info info = { 0 };
	int r;

	r = ask_irq(dev, index, step, &info, ret_error);
	if (r < 0)
		return r;
	if (info.count == 0 && is_pci_intx(dev, index))
		return fail_unwired(dev, step, ret_error);
	if (info.count == 0 || !(info.flags & VFIO_IRQ_INFO_MASKABLE))
		return fail_irq(dev, ret_error, EOPNOTSUPP, step, index, "it cannot be masked");
	r = vfmi_vfio_set_irqs(dev->sys, dev->fd, index, VFIO_IRQ_SET_DATA_NONE | action, 0, info.count, NULL, 0);
	return r < 0 ? fail_irq(dev, ret_error, -r, step, index, vfmi_errno_text(-r)) : 0;
}

int vfm_device_irq_resample(struct vfm_device *dev, uint32_t index, int eventfd, struct vfm_error *ret_error)
{
	const char *step = "resample interrupt";
	const int32_t fd = eventfd < 0 ? -1 : eventfd;
	struct vfio_irq_info info = { 0 };
	int r;

	r = check_range(dev, index, 0, 1, step, &info, ret_error);
	if (r < 0)
		return r;
	/* vfio-pci does it for INTx and vfio-platform for what is a level; both flag just these. */
	if (!(info.flags & VFIO_IRQ_INFO_AUTOMASKED))
		return fail_irq(dev, ret_error, EOPNOTSUPP, step, index,
				"its signal does not mask it, so that there is nothing to unmask");
	r = vfmi_vfio_set_irqs(dev->sys, dev->fd, index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, 0, 1,
			       &fd, sizeof(fd));
	if (r == -ENOTTY || r == -EOPNOTSUPP)
		return fail_irq(dev, ret_error, EOPNOTSUPP, step, index, "its driver does not unmask by eventfd");
	if (r == -EINVAL)
		return fail_irq(dev, ret_error, EINVAL, step, index, "it is not armed, or that is no eventfd");
	if (r == -EBUSY)
		return fail_irq(dev, ret_error, EBUSY, step, index, "another eventfd unmasks it; end that first");
	return r < 0 ? fail_irq(dev, ret_error, -r, step, index, vfmi_errno_text(-r)) : 0;
}

void vfmi_device_irq_mark_watched(struct vfm_device *dev, uint32_t index)
{
	pthread_mutex_lock(&dev->io_lock);
	dev->irqs[index].watched = vectors_armed(&dev->irqs[index]) > 0;
	pthread_mutex_unlock(&dev->io_lock);
}

bool vfmi_device_irq_watched(struct vfm_device *dev, uint32_t index)
{
	bool watched;

	pthread_mutex_lock(&dev->io_lock);
	watched = dev->irqs[index].watched;
	pthread_mutex_unlock(&dev->io_lock);
	return watched;
}

/* lending */

int vfmi_device_irq_declare(struct vfm_device *dev, uint32_t index, uint32_t vector, int eventfd)
{
	struct vfmi_vectors *vectors;
	int fd;
	int r;

	if (index >= VFMI_MAX_IRQ_INDEXES || vector >= VFMI_MAX_VECTORS)
		return -EINVAL;
	fd = dev->sys->ops->dup(dev->sys, eventfd);
	if (fd < 0)
		return fd;
	vectors = &dev->irqs[index];
	pthread_mutex_lock(&dev->io_lock);
	r = vectors_grow(vectors, vector + 1);
	if (r == 0)
		vectors_set(dev, vectors, vector, fd);
	pthread_mutex_unlock(&dev->io_lock);
	if (r < 0)
		close_fd(dev, fd);
	return r;
}

void vfmi_device_irq_mark_lent(struct vfm_device *dev)
{
	pthread_mutex_lock(&dev->io_lock);
	for (uint32_t i = 0; i < VFMI_MAX_IRQ_INDEXES; i++)
		for (uint32_t v = 0; v < dev->irqs[i].room; v++)
			dev->irqs[i].loan[v] = dev->irqs[i].fds[v] >= 0 ? VFMI_LOAN_ARMED : 0;
	pthread_mutex_unlock(&dev->io_lock);
}

static int check_handed_back(struct vfm_device *dev, uint32_t index, uint32_t vector)
{
	struct vfio_irq_info info = { 0 };
	int r;

	if (index >= VFMI_MAX_IRQ_INDEXES)
		return -EPROTO;
	r = vfmi_vfio_irq_info(dev->sys, dev->fd, index, &info);
	/* EINVAL is how the kernel says that there is no such index. */
	if (r < 0)
		return r == -EINVAL ? -EPROTO : r;
	return vector < info.count && info.flags & VFIO_IRQ_INFO_EVENTFD ? 0 : -EPROTO;
}

static void forget_other_kinds(struct vfm_device *dev, uint32_t index)
{
	if (index > VFM_IRQ_MSIX)
		return;
	pthread_mutex_lock(&dev->io_lock);
	for (uint32_t i = VFM_IRQ_INTX; i <= VFM_IRQ_MSIX; i++)
		if (i != index)
			vectors_clear(dev, &dev->irqs[i]);
	pthread_mutex_unlock(&dev->io_lock);
}

int vfmi_device_irq_hand_back(struct vfm_device *dev, uint32_t index, uint32_t vector, int eventfd)
{
	struct vfio_device_info info;
	int r = check_handed_back(dev, index, vector);

	if (r == 0)
		r = vfmi_vfio_device_info(dev->sys, dev->fd, &info);
	if (r == 0)
		r = vfmi_device_irq_declare(dev, index, vector, eventfd);
	if (r == 0 && info.flags & VFIO_DEVICE_FLAGS_PCI)
		forget_other_kinds(dev, index);
	return r;
}

int vfmi_device_irq_hand_back_disarmed(struct vfm_device *dev, uint32_t index, uint32_t vector)
{
	int r = check_handed_back(dev, index, vector);

	if (r < 0)
		return r;
	pthread_mutex_lock(&dev->io_lock);
	if (vector < dev->irqs[index].room)
		vectors_set(dev, &dev->irqs[index], vector, -1);
	pthread_mutex_unlock(&dev->io_lock);
	return 0;
}

typedef bool vector_choice(const struct vfmi_vectors *vectors, uint32_t vector);

static bool is_armed(const struct vfmi_vectors *vectors, uint32_t vector)
{
	return vectors->fds[vector] >= 0;
}

/* One that was armed and disarmed again meanwhile is as the lender knows it. */
static bool is_news(const struct vfmi_vectors *vectors, uint32_t vector)
{
	return vectors->loan[vector] & VFMI_LOAN_CHANGED &&
	       (is_armed(vectors, vector) || vectors->loan[vector] & VFMI_LOAN_ARMED);
}

static int walk(const struct vfm_device *dev, vector_choice *choice, vfmi_irq_fn *fn, void *user)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&dev->io_lock;
	int r = 0;

	pthread_mutex_lock(lock);
	for (uint32_t i = 0; r == 0 && i < VFMI_MAX_IRQ_INDEXES; i++)
		for (uint32_t v = 0; r == 0 && v < dev->irqs[i].room; v++)
			if (choice(&dev->irqs[i], v))
				r = fn(user, i, v, dev->irqs[i].fds[v]);
	pthread_mutex_unlock(lock);
	return r;
}

int vfmi_device_irq_each(const struct vfm_device *dev, vfmi_irq_fn *fn, void *user)
{
	return walk(dev, is_armed, fn, user);
}

int vfmi_device_irq_each_news(const struct vfm_device *dev, vfmi_irq_fn *fn, void *user)
{
	return walk(dev, is_news, fn, user);
}
