/* SPDX-License-Identifier: MIT */
/* The quirk table: its form, overriding it, and that the simulated drivers do what it says, seen through the library.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include <vfiomig/sim.h>

#include "quirk-table.h"
#include "suite.h"

#define A "0000:01:00.0"
#define B "0000:02:00.0"
#define UUID_A "11111111-1111-4111-8111-111111111111"
#define UUID_B "22222222-2222-4222-8222-222222222222"
#define ROOM (256u << 10)

static struct vfm_sim *sim;
static struct vfm_context *ctx;
static struct vfm_iommu *iommu;
static uint8_t state[ROOM];

/* the table */

START_TEST(table_is_in_order)
{
	for (size_t i = 0; i < vfmi_quirk_row_count; i++) {
		const struct vfmi_quirk_row *row = &vfmi_quirk_rows[i];
		const struct vfmi_quirk_key_def *def = &vfmi_quirk_keys[row->key];
		uint32_t count = 0;

		while (def->values && def->values[count])
			count++;
		ck_assert_msg(def->values ? row->value < count : row->value <= def->max, "%s %s", row->driver,
			      def->name);
		ck_assert(*row->reason && *row->source);
		if (!i)
			continue;
		ck_assert_int_le(strcmp(row[-1].driver, row->driver), 0);
		if (!strcmp(row[-1].driver, row->driver))
			ck_assert_uint_lt(row[-1].key, row->key);
	}
	for (size_t i = 0; i < VFMI_QUIRK_KEYS; i++)
		ck_assert_ptr_nonnull(vfmi_quirk_keys[i].name);
}
END_TEST

struct seen {
	size_t count;
	size_t overridden;
	char last[512];
	char drivers[512];
};

static int note(void *user, const struct vfm_quirk *quirk)
{
	struct seen *seen = user;

	ck_assert_uint_eq(quirk->size, sizeof(*quirk));
	seen->count++;
	seen->overridden += quirk->flags & VFM_QUIRK_OVERRIDDEN;
	snprintf(seen->last, sizeof(seen->last), "%s %s=%s/%s", quirk->driver, quirk->key, quirk->value, quirk->usual);
	if (!strstr(seen->drivers, quirk->driver))
		snprintf(seen->drivers + strlen(seen->drivers), sizeof(seen->drivers) - strlen(seen->drivers), "%s ",
			 quirk->driver);
	return 0;
}

static struct seen walk(const char *driver)
{
	struct seen seen = { 0 };

	ck_assert_int_eq(vfm_quirks(ctx, driver, note, &seen), 0);
	return seen;
}

static int stop_at_third(void *user, const struct vfm_quirk *quirk)
{
	(void)quirk;
	return ++*(int *)user == 3 ? 77 : 0;
}

START_TEST(walks)
{
	int count = 0;

	ck_assert_uint_eq(walk(NULL).count, vfmi_quirk_row_count);
	ck_assert_str_eq(walk(NULL).drivers, "hisi_acc_vfio_pci mlx5_vfio_pci mtty nvgrace_gpu_vfio_pci pds_vfio_pci "
					     "qat_vfio_pci virtio_vfio_pci xe-vfio-pci ");
	ck_assert_str_eq(walk("nvgrace_gpu_vfio_pci").last,
			 "nvgrace_gpu_vfio_pci ready-registers=cxl, 0:0x1498=0xff, 0:0x200bc=0xff/none");
	/* a module's name as well as its driver's */
	ck_assert_uint_eq(walk("xe_vfio_pci").count, 7);
	ck_assert_uint_eq(vfmi_quirk_ready(ctx, "nvgrace-gpu-vfio-pci")->registers[1].offset, 0x200bc);
	ck_assert_uint_eq(vfmi_quirk_ready(ctx, "nvgrace_gpu_vfio_pci")->count, 2);
	ck_assert_uint_eq(vfmi_quirk_ready(ctx, "mtty")->count, 0);
	ck_assert_uint_eq(walk("xe-vfio").count, 0);
	ck_assert_uint_eq(walk("").count, 0);
	ck_assert_int_eq(vfm_quirks(ctx, NULL, stop_at_third, &count), 77);
	ck_assert_int_eq(count, 3);
	ck_assert_int_eq(vfm_quirks(NULL, NULL, note, NULL), -EINVAL);
	ck_assert_int_eq(vfm_quirks(ctx, NULL, NULL, NULL), -EINVAL);
}
END_TEST

static int set(const char *driver, const char *key, const char *value)
{
	return vfm_context_set_quirk(ctx, driver, key, value, NULL);
}

START_TEST(overrides)
{
	ck_assert_uint_eq(vfmi_quirk(ctx, "mlx5_vfio_pci", VFMI_QUIRK_POLL), 1);
	ck_assert_int_eq(set("mlx5-vfio-pci", "poll", "always-ready"), 0);
	ck_assert_uint_eq(vfmi_quirk(ctx, "mlx5_vfio_pci", VFMI_QUIRK_POLL), 0);
	ck_assert_uint_eq(walk("mlx5_vfio_pci").overridden, 1);
	ck_assert_uint_eq(walk(NULL).count, vfmi_quirk_row_count);
	/* the second time replaces the first */
	ck_assert_int_eq(set("mlx5_vfio_pci", "poll", "real"), 0);
	ck_assert_uint_eq(vfmi_quirk(ctx, "mlx5_vfio_pci", VFMI_QUIRK_POLL), 1);
	ck_assert_uint_eq(walk("mlx5_vfio_pci").overridden, 1);
	ck_assert_int_eq(set("mlx5_vfio_pci", "poll", NULL), 0);
	ck_assert_int_eq(set("mlx5_vfio_pci", "poll", NULL), 0);
	ck_assert_uint_eq(walk(NULL).overridden, 0);
	/* what the table does not have of a driver, and drivers it does not have */
	ck_assert_int_eq(set("mlx5_vfio_pci", "precopy-rounds", "1000000"), 0);
	ck_assert_str_eq(walk("mlx5_vfio_pci").last, "mlx5_vfio_pci precopy-rounds=1000000/0");
	ck_assert_uint_eq(vfmi_quirk(ctx, "ice_vfio", VFMI_QUIRK_BAD_HEADER), VFMI_BAD_HEADER_WRITE);
	ck_assert_int_eq(set("ice_vfio", "flags", "3"), 0);
	ck_assert_int_eq(set("ice-vfio", "p2p", "all"), 0);
	ck_assert_str_eq(walk(NULL).last, "ice_vfio p2p=all/peers");
	ck_assert_uint_eq(walk("ice_vfio").count, 2);
	ck_assert_uint_eq(walk(NULL).count, vfmi_quirk_row_count + 3);
}
END_TEST

#define REGISTERS_8 "0:0=1,0:4=1,0:8=1,0:12=1,0:16=1,0:20=1,0:24=1,0:28=1"
#define LONGEST_ONE "4294967295:0x7ffffffffffffff8=0xfffffffe/0xfffffffe"

static const struct {
	const char *text;
	const char *printed; /* NULL: refused */
} ready_lists[] = {
	{ "none", "none" },
	{ "cxl", "cxl" },
	{ "0:0x1498=0xff", "0:0x1498=0xff" },
	{ " 7:64=0X10/0xF0 ,cxl", "cxl, 7:0x40=0x10/0xf0" },
	{ "9:4=0", "9:0x4=0x0" },
	{ REGISTERS_8, "0:0x0=0x1, 0:0x4=0x1, 0:0x8=0x1, 0:0xc=0x1, 0:0x10=0x1, 0:0x14=0x1, 0:0x18=0x1, 0:0x1c=0x1" },
	{ LONGEST_ONE, LONGEST_ONE },
	{ REGISTERS_8 ",0:32=1", NULL },
	{ "", NULL },
	{ ",", NULL },
	{ "cxl,", NULL },
	{ "none,cxl", NULL },
	{ "cxl,none", NULL },
	{ "cxl cxl", NULL },
	{ "cxls", NULL },
	{ "0", NULL },
	{ "0:4", NULL },
	{ "0:4=", NULL },
	{ ":4=1", NULL },
	{ "0:=1", NULL },
	{ "0:0x=1", NULL },
	{ "0:4=g", NULL },
	{ "0:4=1/", NULL },
	{ "0:6=1", NULL },
	{ "0:4=-1", NULL },
	{ "0:4=1/0", NULL },
	{ "0:4=3/1", NULL },
	{ "4294967296:4=1", NULL },
	{ "0:4=0x100000000", NULL },
	{ "0:4=1/0x100000000", NULL },
	{ "0:0x8000000000000000=1", NULL },
	{ "0:0x7ffffffffffffffc=1", NULL },
	{ "0:18446744073709551620=1", NULL },
};

START_TEST(ready_registers_are_read_and_printed)
{
	char expected[192];

	if (!ready_lists[_i].printed) {
		ck_assert_int_eq(set("nvgrace_gpu_vfio_pci", "ready-registers", ready_lists[_i].text), -EINVAL);
		ck_assert_uint_eq(walk(NULL).overridden, 0);
		return;
	}
	ck_assert_int_eq(set("nvgrace_gpu_vfio_pci", "ready-registers", ready_lists[_i].text), 0);
	snprintf(expected, sizeof(expected), "nvgrace_gpu_vfio_pci ready-registers=%s/none", ready_lists[_i].printed);
	ck_assert_str_eq(walk("nvgrace_gpu_vfio_pci").last, expected);
	ck_assert_int_eq(set("ice", "ready-registers", ready_lists[_i].text), 0);
	ck_assert_int_eq(strncmp(walk("ice").last, "ice ready-registers=", 20), 0);
	ck_assert_int_eq(set("nvgrace_gpu_vfio_pci", "ready-registers", NULL), 0);
	ck_assert_uint_eq(vfmi_quirk_ready(ctx, "nvgrace_gpu_vfio_pci")->count, 2);
}
END_TEST

START_TEST(longest_list_of_registers_fits)
{
	char text[VFMI_READY_TEXT] = "cxl";
	struct vfmi_ready ready;
	char printed[VFMI_READY_TEXT + 1];

	for (size_t i = 0; i < VFMI_READY_REGISTERS; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", " LONGEST_ONE);
	ck_assert_uint_lt(strlen(text), sizeof(text) - 1);
	ck_assert_int_eq(vfmi_ready_parse(text, &ready), 0);
	vfmi_ready_print(&ready, printed, sizeof(printed));
	ck_assert_str_eq(printed, text);
	vfmi_ready_print(&ready, printed, 40);
	ck_assert_uint_eq(strlen(printed), 39);
}
END_TEST

START_TEST(refuses)
{
	VFM_OPTS(vfm_error, error);

	ck_assert_int_eq(set(NULL, "poll", "real"), -EINVAL);
	ck_assert_int_eq(set("mtty", NULL, "real"), -EINVAL);
	ck_assert_int_eq(set("", "poll", "real"), -EINVAL);
	ck_assert_int_eq(set("a b", "poll", "real"), -EINVAL);
	ck_assert_int_eq(set("0123456789012345678901234567890123456789012345678901234567890123", "poll", "real"),
			 -EINVAL);
	ck_assert_int_eq(vfm_context_set_quirk(ctx, "mtty", "pol", "real", &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "no quirk 'pol'"));
	ck_assert_int_eq(vfm_context_set_quirk(ctx, "mtty", "p2p", "some", &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "none, peers, all"));
	ck_assert_int_eq(vfm_context_set_quirk(ctx, "mtty", "flags", "8", &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "from 0 to 7"));
	ck_assert_int_eq(vfm_context_set_quirk(ctx, "mtty", "ready-registers", "0:6=1", &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.message, "REGION:OFFSET=VALUE[/MASK]"));
	ck_assert_ptr_nonnull(strstr(error.message, "not '0:6=1'"));
	ck_assert_int_eq(set("mtty", "flags", ""), -EINVAL);
	ck_assert_int_eq(set("mtty", "flags", "-1"), -EINVAL);
	ck_assert_int_eq(set("mtty", "flags", " 1"), -EINVAL);
	ck_assert_int_eq(set("mtty", "ready-ms", "4294967297"), -EINVAL);
	ck_assert_uint_eq(walk(NULL).overridden, 0);
}
END_TEST

/* drivers, by what a session shows of them */

struct profile {
	const char *spec;
	const char *driver;
	uint32_t ready; /* of hisi_acc: its queue addresses are to be set for a state to be whole */
};

static const struct profile profiles[] = {
	{ "hisi_acc", "hisi_acc_vfio_pci", 1 },
	{ "mlx5,state=4k", "mlx5_vfio_pci", 0 },
	{ "mtty", "mtty", 0 },
	{ "nvgrace-gpu,state=64k", "nvgrace_gpu_vfio_pci", 0 },
	{ "pds,state=4k", "pds_vfio_pci", 0 },
	{ "qat", "qat_vfio_pci", 0 },
	{ "virtio,state=4k", "virtio_vfio_pci", 0 },
	{ "xe,state=4k", "xe-vfio-pci", 0 },
};

static const struct profile *profile;

static uint32_t expected(enum vfmi_quirk_key key)
{
	return vfmi_quirk(ctx, profile->driver, key);
}

static void machine_start(const char *spec)
{
	char message[256] = "";

	ck_assert_msg(vfm_sim_open(NULL, spec, &sim, message, sizeof(message)) == 0, "%s", message);
	ck_assert_int_eq(vfm_sim_context(sim, &ctx), 0);
	ck_assert_int_eq(vfm_iommu_open(ctx, NULL, &iommu, NULL), 0);
}

static void machine_stop(void)
{
	vfm_iommu_close(iommu);
	vfm_context_free(ctx);
	vfm_sim_close(sim);
}

static void profile_start(int index)
{
	char spec[256], parts[64];
	const bool mdev = !strcmp(profiles[index].driver, "mtty");
	size_t name;

	profile = &profiles[index];
	snprintf(parts, sizeof(parts), "%s", profile->spec);
	name = strcspn(parts, ",");
	snprintf(spec, sizeof(spec), "%.*s@%s%s;%.*s@%s%s", (int)name, parts, mdev ? UUID_A : A, parts + name,
		 (int)name, parts, mdev ? UUID_B : B, parts + name);
	machine_start(spec);
}

static struct vfm_device *device(int index)
{
	const bool mdev = !strcmp(profile->driver, "mtty");
	static const char *const names[2][2] = { { A, B }, { UUID_A, UUID_B } };
	struct vfm_device *dev;
	uint64_t address = 0x1000;

	ck_assert_int_eq(vfm_device_open_attached(ctx, names[mdev][index], iommu, &dev, NULL), 0);
	for (uint64_t i = 0; profile->ready && i < 4; i++)
		ck_assert_int_eq(vfm_device_region_write(dev, 2, 104 + 8 * i, &address, 8, NULL), 0);
	return dev;
}

static size_t save(struct vfm_device *dev)
{
	struct vfm_session *session;
	size_t length = 0, n;
	int r;

	ck_assert_int_eq(vfm_session_save(dev, NULL, &session, NULL), 0);
	while ((r = vfm_session_read(session, state + length, sizeof(state) - length, &n, NULL)) == VFM_READ_DATA)
		length += n;
	ck_assert_int_eq(r, VFM_READ_END);
	ck_assert_int_eq(vfm_session_finish(session, VFM_STATE_RUNNING, NULL, NULL), 0);
	vfm_session_close(session);
	return length;
}

/* What it says to the first @length bytes, where. */
static enum vfmi_bad_header load(struct vfm_device *dev, size_t length)
{
	enum vfmi_bad_header where = VFMI_BAD_HEADER_NOWHERE;
	struct vfm_session *session;

	/* what was loaded before is not to make up for what is missing now */
	ck_assert_int_eq(vfm_device_reset(dev, NULL), 0);
	ck_assert_int_eq(vfm_session_load(dev, NULL, &session, NULL), 0);
	if (vfm_session_write(session, state, length, NULL) < 0)
		where = VFMI_BAD_HEADER_WRITE;
	else if (vfm_session_finish(session, VFM_STATE_RUNNING, NULL, NULL) < 0)
		where = VFMI_BAD_HEADER_ARC;
	vfm_session_close(session);
	return where;
}

START_TEST(flags_are_as_listed)
{
	struct vfm_device *dev;
	struct vfm_identity identity = { .size = sizeof(identity) };
	uint32_t flags = 0;
	int r;

	profile_start(_i);
	dev = device(0);
	ck_assert_int_eq(vfm_device_identity(dev, &identity, NULL), 0);
	ck_assert_str_eq(identity.driver, profile->driver);
	r = vfm_device_migration_flags(dev, &flags, NULL);
	ck_assert_int_eq(!r, !!expected(VFMI_QUIRK_FLAGS));
	ck_assert_uint_eq(flags, expected(VFMI_QUIRK_FLAGS));
	ck_assert_int_eq(expected(VFMI_QUIRK_P2P) != VFMI_P2P_NONE || !(flags & VFM_MIGRATION_P2P), 1);
	vfm_device_close(dev);
	machine_stop();
}
END_TEST

START_TEST(loads_are_judged_as_listed)
{
	struct vfm_device *source, *target;
	uint32_t accepted = 0, tried = 0;
	uint8_t header[24];
	size_t length, cuts[4];

	profile_start(_i);
	if (!expected(VFMI_QUIRK_FLAGS)) {
		machine_stop();
		return;
	}
	source = device(0);
	target = device(1);
	length = save(source);
	ck_assert_uint_gt(length, 1);
	/* first, since hisi_acc looks at no header after one that was good */
	memcpy(header, state, sizeof(header));
	memset(state, 0xa5, sizeof(header));
	ck_assert_msg(load(target, length) == expected(VFMI_QUIRK_BAD_HEADER), "%s", profile->driver);
	memcpy(state, header, sizeof(header));
	ck_assert_int_eq(load(target, length), VFMI_BAD_HEADER_NOWHERE);
	cuts[0] = 0;
	cuts[1] = length - 1;
	cuts[2] = 40;
	cuts[3] = length / 2;
	for (; tried < VFMI_ARRAY_SIZE(cuts); tried++)
		accepted += load(target, cuts[tried]) == VFMI_BAD_HEADER_NOWHERE;
	ck_assert_msg(expected(VFMI_QUIRK_INCOMPLETE) == (accepted == tried ? VFMI_INCOMPLETE_ACCEPTED
							  : accepted	    ? VFMI_INCOMPLETE_PARTLY
									    : VFMI_INCOMPLETE_REFUSED),
		      "%s: %u of %u cuts accepted", profile->driver, accepted, tried);
	vfm_device_close(target);
	vfm_device_close(source);
	machine_stop();
}
END_TEST

START_TEST(sizes_are_as_listed)
{
	struct vfm_device *dev;
	uint64_t size = 0;

	profile_start(_i);
	if (!expected(VFMI_QUIRK_FLAGS)) {
		machine_stop();
		return;
	}
	dev = device(0);
	ck_assert_int_eq(vfm_device_data_size(dev, &size, NULL), 0);
	if (expected(VFMI_QUIRK_DATA_SIZE) == VFMI_DATA_SIZE_EXACT)
		ck_assert_uint_eq(size, save(dev));
	vfm_device_close(dev);
	machine_stop();
}
END_TEST

/* What the library evens out is looked at below it. */
static int raw_set_state(struct vfm_device *dev, uint32_t to, int32_t *ret_fd)
{
	struct vfmi_sys *sys = vfmi_context_sys(ctx);
	uint64_t room[2] = { 0 };
	uint32_t words[4] = { sizeof(words), 1u << 17 | 2u, to, (uint32_t)-1 };
	int r;

	memcpy(room, words, sizeof(words));
	r = sys->ops->ioctl(sys, vfm_device_fd(dev), 0x3b75, room);
	memcpy(words, room, sizeof(words));
	*ret_fd = (int32_t)words[3];
	return r;
}

START_TEST(precopy_ends_as_listed)
{
	struct vfmi_sys *sys;
	struct vfm_device *dev;
	struct pollfd poll_fd = { .events = POLLIN };
	enum vfmi_precopy_end end = VFMI_PRECOPY_NONE;
	ssize_t n;
	int32_t fd;

	profile_start(_i);
	sys = vfmi_context_sys(ctx);
	dev = device(0);
	if (raw_set_state(dev, VFM_STATE_PRE_COPY, &fd) == 0) {
		while ((n = sys->ops->read(sys, fd, state, sizeof(state))) > 0)
			;
		end = n == 0 ? VFMI_PRECOPY_ZERO : VFMI_PRECOPY_ENOMSG;
		ck_assert(n == 0 || n == -ENOMSG);
		poll_fd.fd = fd;
		ck_assert_int_eq(sys->ops->poll(sys, &poll_fd, 1, 0), expected(VFMI_QUIRK_POLL) ? 0 : 1);
		sys->ops->close(sys, fd);
	}
	if (expected(VFMI_QUIRK_FLAGS))
		ck_assert_msg(end == expected(VFMI_QUIRK_PRECOPY_END), "%s: %u", profile->driver, end);
	vfm_device_close(dev);
	machine_stop();
}
END_TEST

/* STOP_COPY to PRE_COPY, or anywhere without PRE_COPY. */
START_TEST(illegal_arcs_do_as_listed)
{
	struct vfm_device *dev;
	uint64_t size = 0;
	int32_t fd;

	profile_start(_i);
	dev = device(0);
	if (expected(VFMI_QUIRK_FLAGS)) {
		ck_assert_int_eq(raw_set_state(dev, 0, &fd), -EINVAL);
		ck_assert_int_eq(raw_set_state(dev, VFM_STATE_STOP, &fd), expected(VFMI_QUIRK_ILLEGAL_ARC) ? -EIO : 0);
		if (expected(VFMI_QUIRK_DATA_SIZE) == VFMI_DATA_SIZE_ERRNO) {
			/* an errno in an unsigned size is no size */
			ck_assert_int_eq(vfm_device_data_size(dev, &size, NULL), 0);
			ck_assert_uint_eq(size, VFM_SIZE_UNKNOWN);
		}
		ck_assert_int_eq(vfm_device_reset(dev, NULL), 0);
		ck_assert_int_eq(raw_set_state(dev, VFM_STATE_STOP, &fd), 0);
	}
	vfm_device_close(dev);
	machine_stop();
}
END_TEST

START_TEST(close_and_reset_are_as_listed)
{
	VFM_OPTS(vfm_device_info, info);
	struct vfm_device *dev;
	uint32_t now;
	int32_t fd;

	profile_start(_i);
	dev = device(0);
	ck_assert_int_eq(vfm_device_info(dev, &info, NULL), 0);
	ck_assert_int_eq(!(info.flags & VFM_DEVICE_RESET), expected(VFMI_QUIRK_RESET));
	ck_assert_int_eq(vfm_device_reset(dev, NULL), 0);
	if (expected(VFMI_QUIRK_FLAGS)) {
		ck_assert_int_eq(raw_set_state(dev, VFM_STATE_STOP, &fd), 0);
		vfm_device_close(dev);
		dev = device(0);
		ck_assert_int_eq(vfm_device_get_state(dev, &now, NULL), 0);
		ck_assert_uint_eq(now, expected(VFMI_QUIRK_CLOSE) ? VFM_STATE_STOP : VFM_STATE_RUNNING);
	}
	vfm_device_close(dev);
	machine_stop();
}
END_TEST

/* what the library does about it */

static int drop(void *user, const void *buf, size_t length)
{
	(void)buf;
	*(uint64_t *)user += length;
	return 0;
}

/* A slow source, so that virtio would queue its state again whenever it is asked. */
START_TEST(rounds_are_limited)
{
	static const char *const values[] = { NULL, "0", "1" };
	uint64_t bytes[VFMI_ARRAY_SIZE(values)] = { 0 };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(values); i++) {
		VFM_OPTS(vfm_transfer_opts, opts);
		const struct vfm_io channel = { .size = sizeof(channel), .user = &bytes[i], .write = drop };
		struct vfm_device *dev;

		machine_start("virtio@" A ",state=64k,rate=32k");
		profile = &profiles[6];
		if (values[i])
			ck_assert_int_eq(set("virtio_vfio_pci", "precopy-rounds", values[i]), 0);
		dev = device(0);
		opts.flags = VFM_TRANSFER_LIVE;
		ck_assert_int_eq(vfm_save(&dev, 1, &channel, &opts, NULL, NULL), 0);
		vfm_device_close(dev);
		machine_stop();
	}
	/* the table says what "1" says; without a limit the state goes out once more */
	ck_assert_uint_eq(bytes[0], bytes[2]);
	ck_assert_uint_gt(bytes[1], bytes[0] + (64u << 10));
}
END_TEST

/* With the quirk taken away mtty is reset at once to find out whether it can be. */
START_TEST(reset_is_looked_up)
{
	struct vfm_sim_usage usage = { .size = sizeof(usage) };
	struct vfm_session *session;
	struct vfm_device *dev;
	uint64_t before;

	machine_start("mtty@" UUID_A);
	profile = &profiles[2];
	dev = device(0);
	vfm_sim_usage(sim, &usage);
	before = usage.resets;
	ck_assert_int_eq(vfm_session_load(dev, NULL, &session, NULL), 0);
	vfm_sim_usage(sim, &usage);
	ck_assert_uint_eq(usage.resets, before);
	vfm_session_close(session);
	before++;
	ck_assert_int_eq(set("mtty", "reset", "announced"), 0);
	ck_assert_int_eq(vfm_session_load(dev, NULL, &session, NULL), 0);
	vfm_sim_usage(sim, &usage);
	ck_assert_uint_eq(usage.resets, before + 1);
	vfm_session_close(session);
	vfm_device_close(dev);
	machine_stop();
}
END_TEST

static void plain_start(void)
{
	ck_assert_int_eq(vfm_context_new(&ctx), 0);
}

static void plain_stop(void)
{
	vfm_context_free(ctx);
}

int main(void)
{
	Suite *suite = suite_create("quirks");
	TCase *table = tcase_create("table"), *drivers = tcase_create("drivers");
	const int count = (int)VFMI_ARRAY_SIZE(profiles);

	tcase_add_checked_fixture(table, plain_start, plain_stop);
	tcase_add_test(table, table_is_in_order);
	tcase_add_test(table, walks);
	tcase_add_test(table, overrides);
	tcase_add_loop_test(table, ready_registers_are_read_and_printed, 0, (int)VFMI_ARRAY_SIZE(ready_lists));
	tcase_add_test(table, longest_list_of_registers_fits);
	tcase_add_test(table, refuses);
	suite_add_tcase(suite, table);
	tcase_set_timeout(drivers, 60);
	tcase_add_loop_test(drivers, flags_are_as_listed, 0, count);
	tcase_add_loop_test(drivers, loads_are_judged_as_listed, 0, count);
	tcase_add_loop_test(drivers, sizes_are_as_listed, 0, count);
	tcase_add_loop_test(drivers, precopy_ends_as_listed, 0, count);
	tcase_add_loop_test(drivers, illegal_arcs_do_as_listed, 0, count);
	tcase_add_loop_test(drivers, close_and_reset_are_as_listed, 0, count);
	tcase_add_test(drivers, rounds_are_limited);
	tcase_add_test(drivers, reset_is_looked_up);
	suite_add_tcase(suite, drivers);
	return run_suite(suite);
}
