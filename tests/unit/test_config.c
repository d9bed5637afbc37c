/* SPDX-License-Identifier: MIT */
/* What VFIO state leaves out: captured on one simulated device, put onto another, taken back when it fails. */
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "config-record.h"
#include "device-internal.h"
#include "machine_fixture.h"
#include "wire.h"

#define MSI 0x40u
#define COMMAND_RUNNING 0x0107u /* I/O, memory, master, SERR */

static struct machine m;
static uint8_t record[VFM_CONFIG_MAX];
static struct vfm_error err;

static void setup(void)
{
	machine_open(&m);
	err = (struct vfm_error){ .size = sizeof(err) };
}

static void teardown(void)
{
	machine_close(&m);
}

static void put(struct vfm_device *dev, uint32_t at, uint32_t width, uint32_t value)
{
	uint8_t bytes[4];

	vfmi_put_le32(bytes, value);
	ck_assert_int_eq(vfm_device_region_write(dev, VFM_REGION_CONFIG, at, bytes, width, NULL), 0);
}

static uint32_t get(struct vfm_device *dev, uint32_t at, uint32_t width)
{
	uint8_t bytes[4] = { 0 };

	ck_assert_int_eq(vfm_device_region_read(dev, VFM_REGION_CONFIG, at, bytes, width, NULL), 0);
	return vfmi_get_le32(bytes);
}

static void read_space(struct vfm_device *dev, uint8_t *space)
{
	ck_assert_int_eq(vfm_device_region_read(dev, VFM_REGION_CONFIG, 0, space, 256, NULL), 0);
}

static int arm(struct vfm_device *dev, uint32_t index)
{
	VFM_OPTS(vfm_device_info, info);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	/* mtty knows of its interrupts only after it was asked what it is. */
	ck_assert_int_eq(vfm_device_info(dev, &info, &err), 0);
	ck_assert_int_eq(vfm_device_irq_arm(dev, index, 0, 1, &fd, &err), 0);
	return fd;
}

/* As a guest's driver would leave the device: decoding, master, MSI on. */
static int make_running(struct vfm_device *dev)
{
	int fd = arm(dev, VFM_IRQ_MSI);

	put(dev, VFMI_PCI_BAR0, 4, 0xd0000000);
	put(dev, VFMI_PCI_INTERRUPT_LINE, 1, 11);
	put(dev, VFMI_PCI_CACHE_LINE, 1, 16);
	put(dev, MSI + 4, 4, 0xfee01000);
	put(dev, MSI + 8, 4, 1);
	put(dev, MSI + 12, 2, 0x4041);
	put(dev, MSI + 2, 2, 0x81);
	put(dev, VFMI_PCI_COMMAND, 2, COMMAND_RUNNING);
	return fd;
}

static size_t capture(struct vfm_device *dev)
{
	int r = vfm_device_config_capture(dev, record, sizeof(record), &err);

	ck_assert_msg(r > 0, "%d: %s", r, err.message);
	return (size_t)r;
}

static bool signalled(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

START_TEST(test_from_one_to_another)
{
	struct vfm_device *source = m.dev[0];
	struct vfm_device *target = m.dev[1];
	uint8_t before[256];
	uint8_t after[256];
	int fd = make_running(source);
	size_t length = capture(source);
	int there;

	machine_move(&m, 1, VFM_STATE_STOP);
	ck_assert_msg(vfm_device_config_apply(target, record, length, &err) == 0, "%s", err.message);
	read_space(source, before);
	read_space(target, after);
	ck_assert_mem_eq(before, after, 256);
	ck_assert_uint_eq(vfmi_get_le16(after + VFMI_PCI_COMMAND), COMMAND_RUNNING);
	ck_assert_uint_eq(get(target, MSI + 2, 2) & 1, 1);

	there = vfm_device_irq_eventfd(target, VFM_IRQ_MSI, 0);
	ck_assert_int_ge(there, 0);
	machine_move(&m, 1, VFM_STATE_RUNNING);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_B, "irq=1:0"), 0);
	ck_assert(signalled(there));
	ck_assert(!signalled(fd));
	ck_assert_int_eq(vfm_device_irq_disarm(source, VFM_IRQ_MSI, &err), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(target, VFM_IRQ_MSI, &err), 0);
	close(fd);
}
END_TEST

/* A seam that looks at every write of the command register. */
static struct {
	struct vfmi_sys_ops ops;
	const struct vfmi_sys_ops *real;
	struct vfm_device *dev;
	uint64_t command; /* where it is in the device file */
	int seen;
} watch;

static ssize_t watch_pwrite(struct vfmi_sys *sys, int fd, const void *buf, size_t length, off_t offset)
{
	if (fd == vfm_device_fd(watch.dev) && (uint64_t)offset == watch.command &&
	    vfmi_get_le16(buf) & VFMI_PCI_COMMAND_MASTER) {
		ck_assert_int_ge(vfm_device_irq_eventfd(watch.dev, VFM_IRQ_MSI, 0), 0);
		watch.seen++;
	}
	return watch.real->pwrite(sys, fd, buf, length, offset);
}

/* DMA that ends in an interrupt nobody has armed is an interrupt lost. */
START_TEST(test_no_dma_before_the_vectors)
{
	struct vfmi_sys *sys = vfmi_device_sys(m.dev[1]);
	VFM_OPTS(vfm_region, region);
	int fd = make_running(m.dev[0]);
	size_t length = capture(m.dev[0]);

	ck_assert_int_eq(vfm_device_region(m.dev[1], VFM_REGION_CONFIG, &region, &err), 0);
	machine_move(&m, 1, VFM_STATE_STOP);
	watch.real = sys->ops;
	watch.ops = *sys->ops;
	watch.ops.pwrite = watch_pwrite;
	watch.dev = m.dev[1];
	watch.command = region.offset + VFMI_PCI_COMMAND;
	sys->ops = &watch.ops;
	ck_assert_msg(vfm_device_config_apply(m.dev[1], record, length, &err) == 0, "%s", err.message);
	sys->ops = watch.real;
	ck_assert_int_eq(watch.seen, 2); /* with INTx masked, then as it was */
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_MSI, &err), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[1], VFM_IRQ_MSI, &err), 0);
	close(fd);
}
END_TEST

START_TEST(test_twice_is_once)
{
	int fd = make_running(m.dev[0]);
	size_t length = capture(m.dev[0]);
	int there;

	machine_move(&m, 1, VFM_STATE_STOP);
	ck_assert_int_eq(vfm_device_config_apply(m.dev[1], record, length, &err), 0);
	there = vfm_device_irq_eventfd(m.dev[1], VFM_IRQ_MSI, 0);
	ck_assert_int_eq(vfm_device_config_apply(m.dev[1], record, length, &err), 0);
	ck_assert_int_eq(vfm_device_irq_eventfd(m.dev[1], VFM_IRQ_MSI, 0), there);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_MSI, &err), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[1], VFM_IRQ_MSI, &err), 0);
	close(fd);
}
END_TEST

START_TEST(test_what_is_armed_stays)
{
	int fd = make_running(m.dev[0]);
	size_t length = capture(m.dev[0]);
	int mine = arm(m.dev[1], VFM_IRQ_MSI);

	machine_move(&m, 1, VFM_STATE_STOP);
	ck_assert_int_eq(vfm_device_config_apply(m.dev[1], record, length, &err), 0);
	machine_move(&m, 1, VFM_STATE_RUNNING);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_B, "irq=1:0"), 0);
	ck_assert(signalled(mine));
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_MSI, &err), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[1], VFM_IRQ_MSI, &err), 0);
	close(fd);
	close(mine);
}
END_TEST

/* The target has INTx armed, the record MSI: the kernel allows one of them. */
START_TEST(test_other_kind_of_interrupt)
{
	int fd = make_running(m.dev[0]);
	size_t length = capture(m.dev[0]);
	int intx = arm(m.dev[1], VFM_IRQ_INTX);

	machine_move(&m, 1, VFM_STATE_STOP);
	ck_assert_msg(vfm_device_config_apply(m.dev[1], record, length, &err) == 0, "%s", err.message);
	ck_assert_int_eq(vfm_device_irq_eventfd(m.dev[1], VFM_IRQ_INTX, 0), -1);
	ck_assert_int_ge(vfm_device_irq_eventfd(m.dev[1], VFM_IRQ_MSI, 0), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_MSI, &err), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[1], VFM_IRQ_MSI, &err), 0);
	close(fd);
	close(intx);
}
END_TEST

START_TEST(test_intx)
{
	int fd = arm(m.dev[0], VFM_IRQ_INTX);
	size_t length;
	int there;

	put(m.dev[0], VFMI_PCI_COMMAND, 2, COMMAND_RUNNING);
	length = capture(m.dev[0]);
	machine_move(&m, 1, VFM_STATE_STOP);
	ck_assert_msg(vfm_device_config_apply(m.dev[1], record, length, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(get(m.dev[1], VFMI_PCI_COMMAND, 2), COMMAND_RUNNING);
	there = vfm_device_irq_eventfd(m.dev[1], VFM_IRQ_INTX, 0);
	ck_assert_int_ge(there, 0);
	machine_move(&m, 1, VFM_STATE_RUNNING);
	ck_assert_int_eq(vfm_sim_poke(m.sim, EDU_B, "irq=0:0"), 0);
	ck_assert(signalled(there));
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_INTX, &err), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[1], VFM_IRQ_INTX, &err), 0);
	close(fd);
}
END_TEST

/* The mediated device fakes a configuration space and ignores most of what is written to it. */
START_TEST(test_mediated)
{
	int fd = arm(m.dev[2], VFM_IRQ_INTX);
	size_t length;

	put(m.dev[2], VFMI_PCI_BAR0, 4, 0xc001);
	put(m.dev[2], VFMI_PCI_INTERRUPT_LINE, 1, 4);
	length = capture(m.dev[2]);
	machine_move(&m, 3, VFM_STATE_STOP);
	ck_assert_msg(vfm_device_config_apply(m.dev[3], record, length, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(get(m.dev[3], VFMI_PCI_BAR0, 4), 0xc001);
	ck_assert_uint_eq(get(m.dev[3], VFMI_PCI_INTERRUPT_LINE, 1), 4);
	ck_assert_int_ge(vfm_device_irq_eventfd(m.dev[3], VFM_IRQ_INTX, 0), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[2], VFM_IRQ_INTX, &err), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[3], VFM_IRQ_INTX, &err), 0);
	close(fd);
}
END_TEST

/* Lent as a bare descriptor, nothing is known of its interrupts but what configuration space shows. */
START_TEST(test_derived_interrupts)
{
	int fd = make_running(m.dev[0]);
	struct vfm_adopt adopt = { .size = sizeof(adopt), .device_fd = vfm_device_fd(m.dev[0]), .iommufd = -1 };
	struct vfmi_config config;
	struct vfm_device *bare;
	const char *why;
	int length;

	ck_assert_int_eq(vfm_device_adopt(m.ctx, &adopt, &bare, &err), 0);
	length = vfm_device_config_capture(bare, record, sizeof(record), &err);
	ck_assert_int_gt(length, 0);
	ck_assert_int_eq(vfmi_config_decode(record, (size_t)length, &config, &why), 0);
	ck_assert_uint_eq(config.set_count, 1);
	ck_assert_uint_eq(config.sets[0].index, VFM_IRQ_MSI);
	ck_assert_uint_eq(config.sets[0].vectors, 1);
	put(m.dev[0], MSI + 2, 2, 0x80);
	length = vfm_device_config_capture(bare, record, sizeof(record), &err);
	ck_assert_int_eq(vfmi_config_decode(record, (size_t)length, &config, &why), 0);
	ck_assert_uint_eq(config.set_count, 0);
	vfm_device_close(bare);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_MSI, &err), 0);
	close(fd);
}
END_TEST

START_TEST(test_holder_interrupts_stay_home)
{
	int fd = arm(m.dev[0], VFM_IRQ_REQ);
	struct vfmi_config config;
	const char *why;

	ck_assert_int_eq(vfmi_config_decode(record, capture(m.dev[0]), &config, &why), 0);
	ck_assert_uint_eq(config.set_count, 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_REQ, &err), 0);
	close(fd);
}
END_TEST

START_TEST(test_refusals)
{
	size_t length = capture(m.dev[0]);
	uint8_t before[256];
	uint8_t after[256];

	read_space(m.dev[1], before);
	ck_assert_int_eq(vfm_device_config_apply(m.dev[1], record, length, &err), -EBUSY);
	ck_assert_uint_eq(err.state_now, VFM_STATE_RUNNING);
	machine_move(&m, 1, VFM_STATE_STOP);
	machine_move(&m, 3, VFM_STATE_STOP);
	ck_assert_int_eq(vfm_device_config_apply(m.dev[1], record, length - 1, &err), -EBADMSG);
	ck_assert_int_eq(vfm_device_config_apply(m.dev[1], record, 0, &err), -EBADMSG);
	record[4]++;
	ck_assert_int_eq(vfm_device_config_apply(m.dev[1], record, length, &err), -EPROTONOSUPPORT);
	ck_assert_ptr_nonnull(strstr(err.message, "not supported"));
	record[4]--;
	ck_assert_int_eq(vfm_device_config_apply(m.dev[3], record, length, &err), -EINVAL);
	record[24 + VFMI_PCI_VENDOR] ^= 1;
	ck_assert_int_eq(vfm_device_config_apply(m.dev[1], record, length, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.message, "PCI ids"));
	read_space(m.dev[1], after);
	ck_assert_mem_eq(before, after, 256);
	ck_assert_int_eq(vfm_device_config_capture(m.dev[0], record, 24, &err), -ENOSPC);
}
END_TEST

START_TEST(test_more_vectors_than_there_are)
{
	struct vfmi_config config;
	const char *why;
	size_t length = capture(m.dev[0]);

	ck_assert_int_eq(vfmi_config_decode(record, length, &config, &why), 0);
	ck_assert_int_eq(vfmi_config_add_vector(&config, VFM_IRQ_MSI, 1), 0);
	length = (size_t)vfmi_config_encode(&config, record, sizeof(record));
	machine_move(&m, 1, VFM_STATE_STOP);
	ck_assert_int_eq(vfm_device_config_apply(m.dev[1], record, length, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.message, "2 vectors"));
}
END_TEST

START_TEST(test_session_in_the_way)
{
	VFM_OPTS(vfm_session_opts, opts);
	size_t length = capture(m.dev[0]);
	struct vfm_session *session;

	ck_assert_int_eq(vfm_session_load(m.dev[1], &opts, &session, &err), 0);
	ck_assert_int_eq(vfm_device_config_apply(m.dev[1], record, length, &err), -EBUSY);
	ck_assert_int_eq(vfm_session_abort(session, NULL, &err), 0);
	vfm_session_close(session);
}
END_TEST

/* Every call fails in turn: the device is as it was, or the message says what is not. */
static void sweep(uint32_t mode)
{
	int fd = make_running(m.dev[0]);
	size_t length = capture(m.dev[0]);
	uint8_t before[256];
	uint8_t after[256];
	uint64_t call;
	int r = -1;

	machine_move(&m, 1, VFM_STATE_STOP);
	read_space(m.dev[1], before);
	for (call = 1; r < 0 && call < 200; call++) {
		machine_fault(&m, NULL, mode, call, 1, EIO);
		r = vfm_device_config_apply(m.dev[1], record, length, &err);
		ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
		if (r == 0)
			break;
		ck_assert_str_ne(err.message, "");
		read_space(m.dev[1], after);
		if (!strstr(err.message, "stay"))
			ck_assert_msg(!memcmp(before, after, 256), "call %u: %s", (unsigned int)call, err.message);
		ck_assert_uint_eq(vfmi_get_le16(after + VFMI_PCI_COMMAND) & VFMI_PCI_COMMAND_MASTER, 0);
		if (memcmp(before, after, 256))
			ck_assert_int_eq(vfm_device_region_write(m.dev[1], VFM_REGION_CONFIG, 0, before, 256, NULL), 0);
		ck_assert_int_eq(vfm_device_irq_disarm(m.dev[1], VFM_IRQ_MSI, NULL), 0);
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_gt(call, 10);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_MSI, &err), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[1], VFM_IRQ_MSI, &err), 0);
	close(fd);
}

START_TEST(test_faults_before)
{
	sweep(VFM_SIM_FAULT_BEFORE);
}
END_TEST

START_TEST(test_faults_after)
{
	sweep(VFM_SIM_FAULT_AFTER);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tcase = tcase_create("config");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, test_from_one_to_another);
	tcase_add_test(tcase, test_no_dma_before_the_vectors);
	tcase_add_test(tcase, test_twice_is_once);
	tcase_add_test(tcase, test_what_is_armed_stays);
	tcase_add_test(tcase, test_other_kind_of_interrupt);
	tcase_add_test(tcase, test_intx);
	tcase_add_test(tcase, test_mediated);
	tcase_add_test(tcase, test_derived_interrupts);
	tcase_add_test(tcase, test_holder_interrupts_stay_home);
	tcase_add_test(tcase, test_refusals);
	tcase_add_test(tcase, test_more_vectors_than_there_are);
	tcase_add_test(tcase, test_session_in_the_way);
	tcase_add_test(tcase, test_faults_before);
	tcase_add_test(tcase, test_faults_after);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
