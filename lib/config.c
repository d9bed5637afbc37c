/* SPDX-License-Identifier: MIT */
/* What VFIO state leaves out: captures configuration space and armed interrupts, puts them onto a device in STOP. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "config-record.h"
#include "device-internal.h"
#include "wire.h"

#define CAPTURE_STEP "capture configuration"
#define APPLY_STEP "apply configuration"
#define MAX_UNDO 48

/* reading a device */

static int read_space(struct vfm_device *dev, struct vfmi_config *config, const char *step, struct vfm_error *err)
{
	struct vfm_context *ctx = vfm_device_context(dev);
	VFM_OPTS(vfm_device_info, info);
	VFM_OPTS(vfm_region, region);
	int r = vfm_device_info(dev, &info, err);

	if (r < 0 || !(info.flags & VFM_DEVICE_PCI))
		return r;
	r = vfm_device_region(dev, VFM_REGION_CONFIG, &region, err);
	if (r < 0)
		return r;
	if (region.length < VFMI_CONFIG_MIN)
		return VFMI_FAIL(ctx, err, EIO, vfm_device_name(dev), step,
				 "a configuration space of %" PRIu64 " bytes cannot be", region.length);
	config->pci = true;
	config->length = (uint32_t)vfmi_min_u64(region.length, VFMI_CONFIG_SPACE);
	return vfm_device_region_read(dev, VFM_REGION_CONFIG, 0, config->space, config->length, err);
}

/* ERR and REQ tell a PCI device's holder of trouble; they belong to it and not to the device's work. */
static bool travels(const struct vfmi_config *config, uint32_t index)
{
	return !config->pci || (index != VFM_IRQ_ERR && index != VFM_IRQ_REQ);
}

static int capture_vector(void *user, uint32_t index, uint32_t vector, int eventfd)
{
	struct vfmi_config *config = user;

	(void)eventfd;
	return travels(config, index) ? vfmi_config_add_vector(config, index, vector) : 0;
}

/* All vectors of @index up to @limit that the device has. */
static int derive_vectors(struct vfm_device *dev, struct vfmi_config *config, uint32_t index, uint32_t limit,
			  struct vfm_error *err)
{
	VFM_OPTS(vfm_irq, irq);
	int r = vfm_device_irq(dev, index, &irq, err);

	for (uint32_t i = 0; r == 0 && i < irq.count && i < limit; i++)
		r = vfmi_config_add_vector(config, index, i);
	return r;
}

/*
 * When a holder lent the device without a word on its interrupts: configuration space shows which kind is enabled, and
 * for MSI how many vectors. The rest of them is armed in vain, which does no harm.
 */
static int derive_interrupts(struct vfm_device *dev, struct vfmi_config *config, struct vfm_error *err)
{
	struct vfmi_pci_caps caps;
	uint16_t control;
	uint32_t at;

	if (!config->pci || config->set_count || vfmi_pci_walk_caps(config->space, config->length, &caps) < 0)
		return 0;
	at = vfmi_pci_find_cap(&caps, VFMI_PCI_CAP_MSIX);
	control = at ? vfmi_get_le16(config->space + at + VFMI_PCI_MSG_CONTROL) : 0;
	if (control & VFMI_PCI_MSIX_ENABLE)
		return derive_vectors(dev, config, VFM_IRQ_MSIX, VFMI_CONFIG_VECTORS, err);
	at = vfmi_pci_find_cap(&caps, VFMI_PCI_CAP_MSI);
	control = at ? vfmi_get_le16(config->space + at + VFMI_PCI_MSG_CONTROL) : 0;
	if (control & VFMI_PCI_MSI_ENABLE)
		return derive_vectors(dev, config, VFM_IRQ_MSI, 1u << (control & VFMI_PCI_MSI_ENABLED) / 16, err);
	return 0;
}

int vfm_device_config_capture(struct vfm_device *dev, void *buf, size_t room, struct vfm_error *ret_error)
{
	struct vfmi_config config = { 0 };
	int r;

	r = read_space(dev, &config, CAPTURE_STEP, ret_error);
	if (r < 0)
		return r;
	r = vfmi_device_irq_each(dev, capture_vector, &config);
	if (r == 0)
		r = derive_interrupts(dev, &config, ret_error);
	if (r == 0 && !config.pci && !config.set_count)
		return 0;
	if (r == 0)
		r = vfmi_config_encode(&config, buf, room);
	if (r == -ENOSPC)
		return VFMI_FAIL(
			vfm_device_context(dev), ret_error, ENOSPC, vfm_device_name(dev), CAPTURE_STEP,
			"the record needs more than %zu bytes, or the device has more interrupts than one can tell",
			room);
	return r;
}

/* applying: steps that can be taken back */

enum undo_kind {
	UNDO_WRITE,  /* bytes of configuration space */
	UNDO_ARM,    /* interrupts of an index, nothing was armed there before */
	UNDO_REARM,  /* of an index that had some: those it was given stay, on eventfds nobody reads */
	UNDO_DISARM, /* an index was disarmed: its eventfds are gone */
};

struct undo {
	enum undo_kind kind;
	uint32_t at; /* offset, or interrupt index */
	uint32_t width;
	uint32_t value;
};

struct apply {
	struct vfm_device *dev;
	struct vfm_context *ctx;
	struct vfmi_config record;
	struct vfmi_config now; /* the device's, kept up to date */
	struct vfmi_pci_caps caps;
	struct undo undo[MAX_UNDO];
	size_t undo_count;
	char what[80]; /* the step that failed */
};

static uint32_t get_field(const uint8_t *space, uint32_t at, uint32_t width)
{
	if (width == 1)
		return space[at];
	return width == 2 ? vfmi_get_le16(space + at) : vfmi_get_le32(space + at);
}

static void put_field(uint8_t *bytes, uint32_t width, uint32_t value)
{
	uint8_t whole[4];

	vfmi_put_le32(whole, value);
	memcpy(bytes, whole, width);
}

static int write_field(struct apply *apply, uint32_t at, uint32_t width, uint32_t value)
{
	uint8_t bytes[4];
	int r;

	put_field(bytes, width, value);
	r = vfm_device_region_write(apply->dev, VFM_REGION_CONFIG, at, bytes, width, NULL);
	if (r == 0)
		r = vfm_device_region_read(apply->dev, VFM_REGION_CONFIG, at, apply->now.space + at, width, NULL);
	return r;
}

static void push_undo(struct apply *apply, struct undo undo)
{
	if (apply->undo_count < MAX_UNDO)
		apply->undo[apply->undo_count++] = undo;
}

static int failed(struct apply *apply, int r, const char *what, uint32_t number)
{
	if (r < 0)
		snprintf(apply->what, sizeof(apply->what), "%s 0x%" PRIx32, what, number);
	return r;
}

/* Written whether or not it differs: for registers whose writing does more than keep a value. */
static int force(struct apply *apply, uint32_t at, uint32_t width, uint32_t value)
{
	uint32_t before = get_field(apply->now.space, at, width);
	uint32_t after;
	int r;

	push_undo(apply, (struct undo){ UNDO_WRITE, at, width, before });
	r = write_field(apply, at, width, value);
	if (r < 0)
		return failed(apply, r, "configuration register", at);
	after = get_field(apply->now.space, at, width);
	/* Much is virtualised, fixed or of the host: mediated devices ignore most of what is written. */
	if (after != value)
		vfmi_log(apply->ctx, VFM_LOG_DEBUG,
			 "%s: configuration register 0x%" PRIx32 ": 0x%" PRIx32 " written, 0x%" PRIx32 " read back",
			 vfm_device_name(apply->dev), at, value, after);
	return 0;
}

static int put(struct apply *apply, uint32_t at, uint32_t width, uint32_t value)
{
	return get_field(apply->now.space, at, width) == value ? 0 : force(apply, at, width, value);
}

/* As recorded. */
static int copy(struct apply *apply, uint32_t at, uint32_t width)
{
	return put(apply, at, width, get_field(apply->record.space, at, width));
}

/* Takes everything back, last first. @ret_left: what could not be, "" when all was. */
static void undo_all(struct apply *apply, char *left, size_t room)
{
	left[0] = '\0';
	while (apply->undo_count > 0) {
		const struct undo *undo = &apply->undo[--apply->undo_count];
		int r = -EOPNOTSUPP;

		if (undo->kind == UNDO_WRITE)
			r = write_field(apply, undo->at, undo->width, undo->value);
		else if (undo->kind == UNDO_ARM)
			r = vfm_device_irq_disarm(apply->dev, undo->at, NULL);
		if (r == 0)
			continue;
		if (undo->kind == UNDO_WRITE)
			snprintf(left, room, "configuration register 0x%" PRIx32 " and maybe more stay changed",
				 undo->at);
		else if (undo->kind == UNDO_DISARM)
			snprintf(left, room, "interrupt %" PRIu32 " stays disarmed", undo->at);
		else
			snprintf(left, room, "interrupt %" PRIu32 " stays armed", undo->at);
	}
}

/* applying: interrupts */

static void close_eventfds(struct apply *apply, const int *fds, uint32_t count)
{
	struct vfmi_sys *sys = vfmi_device_sys(apply->dev);

	for (uint32_t i = 0; i < count; i++) {
		if (fds[i] >= 0)
			sys->ops->close(sys, fds[i]);
	}
}

/*
 * One descriptor of ours per vector, -1 where none is to be armed: a duplicate of what stands there, or a new one.
 * Return: how many are new, or -errno with none open.
 */
static int make_eventfds(struct apply *apply, const struct vfmi_config_set *set, int *fds, uint32_t count)
{
	struct vfmi_sys *sys = vfmi_device_sys(apply->dev);
	int made = 0;

	for (uint32_t i = 0; i < count; i++) {
		int armed = vfm_device_irq_eventfd(apply->dev, set->index, i);

		fds[i] = -1;
		if (armed < 0 && !vfmi_config_is_armed(set, i))
			continue;
		fds[i] = armed >= 0 ? sys->ops->dup(sys, armed) : sys->ops->eventfd(sys, 0, EFD_NONBLOCK);
		if (fds[i] < 0) {
			int r = fds[i];

			close_eventfds(apply, fds, i);
			return r;
		}
		made += armed < 0;
	}
	return made;
}

/* vfio-pci cannot add MSI vectors to an index that has fewer (NORESIZE): then all are armed anew. */
static int arm(struct apply *apply, uint32_t index, const int *fds, uint32_t count, bool had_some)
{
	int r = vfm_device_irq_arm(apply->dev, index, 0, count, fds, NULL);

	if (r == -EOPNOTSUPP && index == VFM_IRQ_INTX)
		snprintf(apply->what, sizeof(apply->what), "INTx is not wired on this host");
	if (r == -EINVAL || r == -EBUSY) {
		r = vfm_device_irq_disarm(apply->dev, index, NULL);
		if (r == 0 && had_some)
			push_undo(apply, (struct undo){ .kind = UNDO_DISARM, .at = index });
		if (r == 0)
			r = vfm_device_irq_arm(apply->dev, index, 0, count, fds, NULL);
		if (r == 0 && had_some)
			apply->undo_count--;
	}
	if (r == -ENOSPC)
		snprintf(apply->what, sizeof(apply->what), "this host gives fewer vectors than the state wants");
	if (r == 0)
		push_undo(apply, (struct undo){ .kind = had_some ? UNDO_REARM : UNDO_ARM, .at = index });
	return r;
}

static uint32_t highest_armed(struct apply *apply, uint32_t index)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < VFMI_CONFIG_VECTORS; i++) {
		if (vfm_device_irq_eventfd(apply->dev, index, i) >= 0)
			count = i + 1;
	}
	return count;
}

static int arm_set(struct apply *apply, const struct vfmi_config_set *set)
{
	uint32_t had = highest_armed(apply, set->index);
	uint32_t count = had > set->vectors ? had : set->vectors;
	int fds[VFMI_CONFIG_VECTORS];
	int r = make_eventfds(apply, set, fds, count);

	if (r <= 0) {
		close_eventfds(apply, fds, r == 0 ? count : 0);
		return failed(apply, r, "eventfds of interrupt", set->index);
	}
	r = arm(apply, set->index, fds, count, had > 0);
	close_eventfds(apply, fds, count);
	return apply->what[0] ? r : failed(apply, r, "arming of interrupt", set->index);
}

/* INTx, MSI and MSI-X of a PCI device exclude each other. */
static int disarm_others(struct apply *apply)
{
	static const uint32_t exclusive[] = { VFM_IRQ_INTX, VFM_IRQ_MSI, VFM_IRQ_MSIX };
	uint32_t wanted = 0;

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(exclusive); i++)
		wanted += vfmi_config_find_set(&apply->record, exclusive[i]) ? 1 : 0;
	for (size_t i = 0; apply->now.pci && wanted && i < VFMI_ARRAY_SIZE(exclusive); i++) {
		uint32_t index = exclusive[i];
		int r;

		if (vfmi_config_find_set(&apply->record, index) || !highest_armed(apply, index))
			continue;
		r = vfm_device_irq_disarm(apply->dev, index, NULL);
		if (r < 0)
			return failed(apply, r, "disarming of interrupt", index);
		push_undo(apply, (struct undo){ .kind = UNDO_DISARM, .at = index });
	}
	return 0;
}

static int arm_all(struct apply *apply)
{
	int r = disarm_others(apply);

	for (uint32_t i = 0; r == 0 && i < apply->record.set_count; i++)
		r = arm_set(apply, &apply->record.sets[i]);
	return r;
}

static int check_interrupts(struct apply *apply, struct vfm_error *err)
{
	for (uint32_t i = 0; i < apply->record.set_count; i++) {
		const struct vfmi_config_set *set = &apply->record.sets[i];
		VFM_OPTS(vfm_irq, irq);
		int r = vfm_device_irq(apply->dev, set->index, &irq, err);

		if (r < 0)
			return r;
		if (apply->now.pci && set->index == VFM_IRQ_INTX && irq.count == 0)
			return VFMI_FAIL(
				apply->ctx, err, EINVAL, vfm_device_name(apply->dev), APPLY_STEP,
				"INTx was armed at the source and is not wired here; its driver has to use MSI "
				"or MSI-X before it can move");
		if (set->vectors > irq.count || !(irq.flags & VFM_IRQ_EVENTFD))
			return VFMI_FAIL(apply->ctx, err, EINVAL, vfm_device_name(apply->dev), APPLY_STEP,
					 "interrupt %" PRIu32 " had %" PRIu32
					 " vectors armed, this device offers %" PRIu32,
					 set->index, set->vectors, irq.flags & VFM_IRQ_EVENTFD ? irq.count : 0);
	}
	return 0;
}

/* applying: configuration space */

static uint16_t recorded_command(const struct apply *apply)
{
	return vfmi_get_le16(apply->record.space + VFMI_PCI_COMMAND);
}

/* First of all no DMA and no INTx; then what the device decodes, which may move only while it decodes nothing new. */
static int apply_header(struct apply *apply)
{
	uint16_t now = vfmi_get_le16(apply->now.space + VFMI_PCI_COMMAND);
	int r = put(apply, VFMI_PCI_COMMAND, 2, now & ~VFMI_PCI_COMMAND_MASTER);

	for (uint32_t i = 0; r == 0 && i < VFMI_PCI_BARS; i++)
		r = copy(apply, VFMI_PCI_BAR0 + i * 4, 4);
	if (r == 0)
		r = copy(apply, VFMI_PCI_ROM, 4);
	if (r == 0)
		r = copy(apply, VFMI_PCI_CACHE_LINE, 1);
	if (r == 0)
		r = copy(apply, VFMI_PCI_LATENCY, 1);
	if (r == 0)
		r = copy(apply, VFMI_PCI_INTERRUPT_LINE, 1);
	if (r == 0)
		r = put(apply, VFMI_PCI_COMMAND, 2,
			(recorded_command(apply) & ~VFMI_PCI_COMMAND_MASTER) | VFMI_PCI_COMMAND_INTX_OFF);
	return r;
}

/* Link control is the host's. The FLR bit reads as zero and must stay so: it would reset what was just loaded. */
static int apply_express(struct apply *apply)
{
	uint32_t at = vfmi_pci_find_cap(&apply->caps, VFMI_PCI_CAP_EXPRESS);
	uint16_t control;
	int r;

	if (!at)
		return 0;
	control = vfmi_get_le16(apply->record.space + at + VFMI_PCI_EXPRESS_CONTROL);
	r = put(apply, at + VFMI_PCI_EXPRESS_CONTROL, 2, control & ~VFMI_PCI_EXPRESS_FLR);
	/* Version 1 of the capability ends before the second control register. */
	if (r == 0 && (apply->record.space[at + 2] & 0xf) >= 2)
		r = copy(apply, at + VFMI_PCI_EXPRESS_CONTROL2, 2);
	return r;
}

/* The guest's message; the host's own stands in the real registers. */
static int apply_msi_message(struct apply *apply)
{
	uint32_t at = vfmi_pci_find_cap(&apply->caps, VFMI_PCI_CAP_MSI);
	uint32_t address = at + VFMI_PCI_MSI_ADDRESS;
	uint16_t control;
	int r;

	if (!at)
		return 0;
	control = vfmi_get_le16(apply->record.space + at + VFMI_PCI_MSG_CONTROL);
	r = copy(apply, address, 4);
	if (r == 0 && control & VFMI_PCI_MSI_64BIT)
		r = copy(apply, address + 4, 4);
	if (r == 0)
		r = copy(apply, control & VFMI_PCI_MSI_64BIT ? address + 8 : address + 4, 2);
	return r;
}

/*
 * After arming: before it, vfio-pci takes neither the enable bit nor a number of vectors. With vectors armed the kernel
 * has MSI enabled, whatever a holder without a guest left in its virtual register: a write must not disable it.
 */
static int apply_msi_control(struct apply *apply)
{
	uint32_t at = vfmi_pci_find_cap(&apply->caps, VFMI_PCI_CAP_MSI);
	bool armed = vfmi_config_find_set(&apply->record, VFM_IRQ_MSI);
	uint16_t control;
	uint32_t mask;
	int r = 0;

	if (!at)
		return 0;
	control = vfmi_get_le16(apply->record.space + at + VFMI_PCI_MSG_CONTROL);
	mask = at + VFMI_PCI_MSI_ADDRESS + (control & VFMI_PCI_MSI_64BIT ? 12 : 8);
	if (control & VFMI_PCI_MSI_MASKABLE)
		r = copy(apply, mask, 4);
	if (r == 0 && armed && control & (VFMI_PCI_MSI_ENABLE | VFMI_PCI_MSI_ENABLED))
		r = force(apply, at + VFMI_PCI_MSG_CONTROL, 2, control | VFMI_PCI_MSI_ENABLE);
	else if (r == 0 && !armed)
		r = copy(apply, at + VFMI_PCI_MSG_CONTROL, 2);
	return r;
}

static int apply_msix_control(struct apply *apply)
{
	const uint16_t ours = VFMI_PCI_MSIX_ENABLE | VFMI_PCI_MSIX_MASK_ALL;
	uint32_t at = vfmi_pci_find_cap(&apply->caps, VFMI_PCI_CAP_MSIX);
	uint32_t control = at + VFMI_PCI_MSG_CONTROL;
	uint16_t now;

	if (!at)
		return 0;
	now = vfmi_get_le16(apply->now.space + control);
	return put(apply, control, 2, (now & ~ours) | (vfmi_get_le16(apply->record.space + control) & ours));
}

static int apply_master(struct apply *apply)
{
	uint16_t command = recorded_command(apply);
	int r = put(apply, VFMI_PCI_COMMAND, 2, command | VFMI_PCI_COMMAND_INTX_OFF);

	if (r == 0 && command & VFMI_PCI_COMMAND_MASTER &&
	    !(vfmi_get_le16(apply->now.space + VFMI_PCI_COMMAND) & VFMI_PCI_COMMAND_MASTER))
		r = failed(apply, -EIO, "bus master did not stick in register", VFMI_PCI_COMMAND);
	return r;
}

static int unmask_intx(struct apply *apply)
{
	int r;

	r = put(apply, VFMI_PCI_COMMAND, 2, recorded_command(apply));
	if (r < 0 || recorded_command(apply) & VFMI_PCI_COMMAND_INTX_OFF ||
	    !vfmi_config_find_set(&apply->record, VFM_IRQ_INTX))
		return r;
	/* One that was signalled and not yet served is masked by the kernel; masked, it would never come again. */
	r = vfm_device_irq_mask(apply->dev, VFM_IRQ_INTX, false, NULL);
	return r == -EOPNOTSUPP || r == -ENOTTY ? 0 : failed(apply, r, "unmasking of interrupt", VFM_IRQ_INTX);
}

/* Last: a device asleep takes nothing else. */
static int apply_power(struct apply *apply)
{
	uint32_t at = vfmi_pci_find_cap(&apply->caps, VFMI_PCI_CAP_PM);
	uint32_t control = at + VFMI_PCI_PM_CONTROL;
	uint16_t now;

	if (!at)
		return 0;
	now = vfmi_get_le16(apply->now.space + control);
	return put(apply, control, 2,
		   (now & ~VFMI_PCI_PM_STATE) | (vfmi_get_le16(apply->record.space + control) & VFMI_PCI_PM_STATE));
}

static int apply_all(struct apply *apply)
{
	static int (*const steps[])(struct apply * apply) = {
		apply_header,	    apply_express, apply_msi_message, arm_all,	   apply_msi_control,
		apply_msix_control, apply_master,  unmask_intx,	      apply_power,
	};
	int r = 0;

	if (!apply->now.pci)
		return arm_all(apply);
	for (size_t i = 0; r == 0 && i < VFMI_ARRAY_SIZE(steps); i++)
		r = steps[i](apply);
	return r;
}

/* checks before anything is touched */

static int check_awake(struct apply *apply, struct vfm_error *err)
{
	uint32_t at = vfmi_pci_find_cap(&apply->caps, VFMI_PCI_CAP_PM);
	uint16_t control = at ? vfmi_get_le16(apply->now.space + at + VFMI_PCI_PM_CONTROL) : 0;

	if (control & VFMI_PCI_PM_STATE)
		return VFMI_FAIL(apply->ctx, err, EINVAL, vfm_device_name(apply->dev), APPLY_STEP,
				 "the device is in power state D%d; wake it first", control & (int)VFMI_PCI_PM_STATE);
	return 0;
}

static int check_stopped(struct apply *apply, struct vfm_error *err)
{
	uint32_t state;
	int r = vfm_device_get_state(apply->dev, &state, err);
	const struct vfmi_where where = {
		.device = vfm_device_name(apply->dev),
		.step = APPLY_STEP,
		.state_from = VFM_STATE_UNKNOWN,
		.state_to = VFM_STATE_UNKNOWN,
		.state_now = r < 0 ? VFM_STATE_UNKNOWN : state,
	};

	if (r < 0)
		return r;
	return state == VFM_STATE_STOP ? 0
				       : vfmi_fail(apply->ctx, err, EBUSY, &where, "only a device in STOP can take it");
}

static int check(struct apply *apply, struct vfm_error *err)
{
	const char *why;
	int r = check_stopped(apply, err);

	if (r == 0)
		r = read_space(apply->dev, &apply->now, APPLY_STEP, err);
	if (r < 0)
		return r;
	r = vfmi_config_fits(&apply->record, &apply->now, &why);
	if (r < 0)
		return VFMI_FAIL(apply->ctx, err, -r, vfm_device_name(apply->dev), APPLY_STEP, "%s", why);
	if (apply->now.pci)
		(void)vfmi_pci_walk_caps(apply->now.space, apply->now.length, &apply->caps);
	r = check_interrupts(apply, err);
	return r < 0 ? r : check_awake(apply, err);
}

static int check_and_apply(struct apply *apply, struct vfm_error *err)
{
	char left[96];
	int r = check(apply, err);

	if (r < 0)
		return r;
	r = apply_all(apply);
	if (r == 0)
		return 0;
	undo_all(apply, left, sizeof(left));
	return VFMI_FAIL(apply->ctx, err, -r, vfm_device_name(apply->dev), APPLY_STEP, "%s: %s; %s", apply->what,
			 vfmi_errno_text(-r), left[0] ? left : "everything was put back");
}

int vfm_device_config_apply(struct vfm_device *dev, const void *record, size_t length, struct vfm_error *ret_error)
{
	struct apply apply = { .dev = dev, .ctx = vfm_device_context(dev) };
	const char *why;
	int r;

	r = vfmi_config_decode(record, length, &apply.record, &why);
	if (r < 0)
		return VFMI_FAIL(apply.ctx, ret_error, -r, vfm_device_name(dev), APPLY_STEP, "%s: %s",
				 r == -EBADMSG ? "the record is damaged" : "the record is not supported", why);
	r = vfmi_device_begin(dev, NULL, APPLY_STEP, ret_error);
	if (r < 0)
		return r;
	r = check_and_apply(&apply, ret_error);
	vfmi_device_end(dev);
	return r;
}
