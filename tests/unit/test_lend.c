/* SPDX-License-Identifier: MIT */
/* Lending: devices that travel, what is returned, and borrowers that stall, lie or die. */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "device-internal.h"
#include "lend-socket.h"
#include "machine_fixture.h"
#include "vfio.h"

static struct machine m;
static struct vfm_lender *lender;
static char path[96];
static struct vfm_error err;

/* The holder's loop on a thread of its own, noting what happens. */
static struct {
	pthread_t thread;
	_Atomic bool stop;
	bool faults; /* a dispatch may fail */
	uint32_t events[32];
	size_t count;
	int32_t pid;
} holder;

static void setup(void)
{
	machine_open(&m);
	err = (struct vfm_error){ .size = sizeof(err) };
	memset(&holder, 0, sizeof(holder));
	snprintf(path, sizeof(path), "@vfiomig-lend-%d", (int)getpid());
	ck_assert_msg(vfm_lender_open(m.ctx, path, &lender, &err) == 0, "%s", err.message);
}

static void teardown(void)
{
	vfm_lender_close(lender);
	machine_close(&m);
}

static uint32_t dispatch(void)
{
	VFM_OPTS(vfm_lend_info, info);

	ck_assert_int_eq(vfm_lender_dispatch(lender, &(struct vfm_lend_info){ .size = 4 }, NULL), -EINVAL);
	ck_assert(vfm_lender_dispatch(lender, &info, NULL) == 0 || holder.faults); /* the first has lost no event */
	if (info.event != VFM_LEND_NONE) {
		ck_assert_uint_lt(holder.count, VFMI_ARRAY_SIZE(holder.events));
		holder.events[holder.count++] = info.event;
		holder.pid = info.pid;
	}
	return info.event;
}

static void *hold(void *user)
{
	(void)user;
	while (!holder.stop) {
		struct pollfd pfds[2];
		int fds[2];
		size_t count = vfm_lender_fds(lender, fds, 2);

		for (size_t i = 0; i < count; i++)
			pfds[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
		if (poll(pfds, count, 10) > 0)
			(void)dispatch();
	}
	return NULL;
}

static void start_holder(void)
{
	ck_assert_int_eq(pthread_create(&holder.thread, NULL, hold, NULL), 0);
}

static void stop_holder(void)
{
	holder.stop = true;
	pthread_join(holder.thread, NULL);
	holder.stop = false;
	for (int i = 0; i < 8; i++)
		(void)dispatch();
}

static void lend(unsigned int slot)
{
	ck_assert_msg(vfm_lender_add(lender, m.dev[slot], &err) == 0, "%s", err.message);
}

/* ordinary use */

START_TEST(test_devices_travel)
{
	struct vfm_borrow *borrow;
	VFM_OPTS(vfm_identity, identity);
	uint32_t state;

	lend(0);
	lend(2);
	machine_move(&m, 2, VFM_STATE_STOP);
	start_holder();
	ck_assert_msg(vfm_borrow_open(m.ctx, path, NULL, &borrow, &err) == 0, "%s", err.message);
	ck_assert_uint_eq(vfm_borrow_count(borrow), 2);
	ck_assert_ptr_null(vfm_borrow_device(borrow, 2));
	ck_assert_str_eq(vfm_device_name(vfm_borrow_device(borrow, 0)), EDU_A);
	ck_assert(vfm_device_is_adopted(vfm_borrow_device(borrow, 0)));
	ck_assert_uint_eq(vfm_device_id(vfm_borrow_device(borrow, 0)), vfm_device_id(m.dev[0]));
	ck_assert_uint_eq(vfm_device_pt_id(vfm_borrow_device(borrow, 0)), vfm_device_pt_id(m.dev[0]));
	ck_assert_ptr_nonnull(vfm_device_iommu(vfm_borrow_device(borrow, 0)));
	ck_assert_uint_eq(vfm_iommu_ioas_id(vfm_device_iommu(vfm_borrow_device(borrow, 0))),
			  vfm_iommu_ioas_id(m.iommu));
	ck_assert_int_eq(vfm_device_identity(vfm_borrow_device(borrow, 1), &identity, &err), 0);
	ck_assert_str_eq(identity.name, MTTY_A);
	ck_assert_str_ne(identity.driver, "");
	ck_assert_str_ne(identity.mdev_type, "");
	ck_assert_int_eq(vfm_device_get_state(vfm_borrow_device(borrow, 1), &state, &err), 0);
	ck_assert_uint_eq(state, VFM_STATE_STOP);
	vfm_borrow_close(borrow);
	stop_holder();
	ck_assert_uint_eq(holder.count, 2);
	ck_assert_uint_eq(holder.events[0], VFM_LEND_BORROWED);
	ck_assert_uint_eq(holder.events[1], VFM_LEND_RETURNED);
	ck_assert_int_eq(holder.pid, getpid());
	ck_assert_uint_eq(machine_state(&m, 2), VFM_STATE_STOP);
}
END_TEST

START_TEST(test_one_after_the_other)
{
	lend(0);
	start_holder();
	for (int i = 0; i < 5; i++) {
		struct vfm_borrow *borrow;

		/* The return of the one before may still be on its way: that is no reason to refuse. */
		ck_assert_msg(vfm_borrow_open(m.ctx, path, NULL, &borrow, &err) == 0, "%s", err.message);
		vfm_borrow_close(borrow);
	}
	stop_holder();
	ck_assert_uint_eq(holder.count, 10);
}
END_TEST

/* A seam whose calls a test may answer itself; what they note. */
static struct {
	struct vfmi_sys_ops ops;
	const struct vfmi_sys_ops *real;
	unsigned int open; /* descriptors, when the borrower says that it returns the loan */
	struct vfm_borrow *borrow;
	int next;
} watch;

static void watch_calls(void)
{
	watch.real = vfmi_context_sys(m.ctx)->ops;
	watch.ops = *watch.real;
	vfmi_context_sys(m.ctx)->ops = &watch.ops;
}

static ssize_t watch_sendmsg(struct vfmi_sys *sys, int fd, const struct msghdr *hdr, int flags)
{
	const uint8_t *header = hdr->msg_iov->iov_base;

	if (header[4] == VFMI_LEND_RETURN)
		watch.open = open_descriptors();
	return watch.real->sendmsg(sys, fd, hdr, flags);
}

/* Told that it has its device back, the holder must have it alone. */
START_TEST(test_return_comes_after_the_last_close)
{
	unsigned int before = open_descriptors();

	lend(0);
	watch_calls();
	watch.ops.sendmsg = watch_sendmsg;
	start_holder();
	ck_assert_msg(vfm_borrow_open(m.ctx, path, NULL, &watch.borrow, &err) == 0, "%s", err.message);
	ck_assert_uint_gt(open_descriptors(), before + 2);
	vfm_borrow_close(watch.borrow);
	stop_holder();
	vfmi_context_sys(m.ctx)->ops = watch.real;
	/* nothing but the two ends of the connection */
	ck_assert_uint_eq(watch.open, before + 2);
}
END_TEST

START_TEST(test_nothing_lent)
{
	struct vfm_borrow *borrow;

	start_holder();
	ck_assert_int_eq(vfm_borrow_open(m.ctx, path, NULL, &borrow, &err), 0);
	ck_assert_uint_eq(vfm_borrow_count(borrow), 0);
	vfm_borrow_close(borrow);
	stop_holder();
}
END_TEST

START_TEST(test_one_borrower_at_a_time)
{
	struct vfm_borrow *first;
	struct vfm_borrow *second;
	char pid[32];

	lend(0);
	start_holder();
	ck_assert_int_eq(vfm_borrow_open(m.ctx, path, NULL, &first, &err), 0);
	ck_assert_int_eq(vfm_borrow_open(m.ctx, path, NULL, &second, &err), -EBUSY);
	snprintf(pid, sizeof(pid), "lent to process %d", (int)getpid());
	ck_assert_msg(strstr(err.message, pid) != NULL, "%s", err.message);
	ck_assert_uint_eq(err.flags & VFM_ERROR_PEER, VFM_ERROR_PEER);
	ck_assert_int_eq(vfm_lender_add(lender, m.dev[1], &err), -EBUSY);
	vfm_borrow_close(first);
	stop_holder();
	ck_assert_uint_eq(holder.count, 3);
	ck_assert_uint_eq(holder.events[1], VFM_LEND_REFUSED);
	ck_assert_uint_eq(holder.events[2], VFM_LEND_RETURNED);
}
END_TEST

START_TEST(test_interrupts_travel)
{
	struct vfm_borrow *borrow;
	struct vfm_device *dev;
	uint64_t count = 0;
	int fd = eventfd(0, EFD_NONBLOCK);
	int theirs;

	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSI, 0, 1, &fd, &err), 0);
	lend(0);
	lend(1);
	start_holder();
	ck_assert_int_eq(vfm_borrow_open(m.ctx, path, NULL, &borrow, &err), 0);
	theirs = vfm_device_irq_eventfd(vfm_borrow_device(borrow, 0), VFM_IRQ_MSI, 0);
	ck_assert_int_ge(theirs, 0);
	ck_assert_int_eq(eventfd_write(theirs, 3), 0);
	ck_assert_int_eq(eventfd_read(fd, &count), 0);
	ck_assert_uint_eq(count, 3);

	/* What the borrower arms is the holder's afterwards. */
	dev = vfm_borrow_device(borrow, 1);
	ck_assert_int_eq(vfm_device_irq_eventfd(dev, VFM_IRQ_MSI, 0), -1);
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &fd, &err), 0);
	vfm_borrow_close(borrow);
	stop_holder();
	theirs = vfm_device_irq_eventfd(m.dev[1], VFM_IRQ_MSI, 0);
	ck_assert_int_ge(theirs, 0);
	ck_assert_int_eq(eventfd_write(theirs, 5), 0);
	ck_assert_int_eq(eventfd_read(fd, &count), 0);
	ck_assert_uint_eq(count, 5);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_MSI, &err), 0);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[1], VFM_IRQ_MSI, &err), 0);
	close(fd);
}
END_TEST

/* Disarmed and armed anew, a vector may well get the number of the descriptor it had. */
START_TEST(test_rearmed_interrupts_travel)
{
	struct vfm_borrow *borrow;
	struct vfm_device *dev;
	uint64_t count = 0;
	int fds[] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };

	ck_assert_int_eq(vfm_device_irq_arm(m.dev[0], VFM_IRQ_MSI, 0, 1, &fds[0], &err), 0);
	lend(0);
	start_holder();
	ck_assert_int_eq(vfm_borrow_open(m.ctx, path, NULL, &borrow, &err), 0);
	dev = vfm_borrow_device(borrow, 0);
	ck_assert_int_eq(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &err), 0);
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &fds[1], &err), 0);
	vfm_borrow_close(borrow);
	stop_holder();
	ck_assert_int_eq(eventfd_write(vfm_device_irq_eventfd(m.dev[0], VFM_IRQ_MSI, 0), 7), 0);
	ck_assert_int_eq(eventfd_read(fds[1], &count), 0);
	ck_assert_uint_eq(count, 7);
	ck_assert_int_eq(vfm_device_irq_disarm(m.dev[0], VFM_IRQ_MSI, &err), 0);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* Disarmed and left so, by the index or by the vector: the holder must not count them as armed. */
START_TEST(test_disarming_travels)
{
	const int none = -1;
	struct vfm_borrow *borrow;
	struct vfm_device *dev;
	int fd = eventfd(0, EFD_NONBLOCK);
	unsigned int before = open_descriptors();

	for (unsigned int slot = 0; slot < 2; slot++) {
		ck_assert_int_eq(vfm_device_irq_arm(m.dev[slot], VFM_IRQ_MSI, 0, 1, &fd, &err), 0);
		lend(slot);
	}
	start_holder();
	ck_assert_int_eq(vfm_borrow_open(m.ctx, path, NULL, &borrow, &err), 0);
	dev = vfm_borrow_device(borrow, 0);
	ck_assert_int_eq(vfm_device_irq_disarm(dev, VFM_IRQ_MSI, &err), 0);
	dev = vfm_borrow_device(borrow, 1);
	ck_assert_int_eq(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &none, &err), 0);
	vfm_borrow_close(borrow);
	stop_holder();
	ck_assert_uint_eq(holder.events[1], VFM_LEND_RETURNED);
	for (unsigned int slot = 0; slot < 2; slot++) {
		VFM_OPTS(vfm_irq, irq);

		ck_assert_int_eq(vfm_device_irq_eventfd(m.dev[slot], VFM_IRQ_MSI, 0), -1);
		ck_assert_int_eq(vfm_device_irq(m.dev[slot], VFM_IRQ_MSI, &irq, &err), 0);
		ck_assert_uint_eq(irq.armed, 0);
	}
	ck_assert_uint_eq(open_descriptors(), before);
	close(fd);
}
END_TEST

#define MANY 600u

static int many_ioctl(struct vfmi_sys *sys, int fd, unsigned long request, void *arg)
{
	struct vfio_irq_info *info = arg;

	if (request != VFIO_DEVICE_GET_IRQ_INFO || info->index != VFM_IRQ_MSIX)
		return watch.real->ioctl(sys, fd, request, arg);
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	info->count = MANY;
	return 0;
}

/* More vectors than one message can carry, there and back; on devices that have that many. */
START_TEST(test_many_vectors)
{
	struct vfmi_sys *sys = vfmi_context_sys(m.ctx);
	struct vfm_borrow *borrow;
	int fd = eventfd(0, 0);

	watch.real = sys->ops;
	watch.ops = *sys->ops;
	watch.ops.ioctl = many_ioctl;
	sys->ops = &watch.ops;
	for (uint32_t i = 0; i < MANY; i++)
		ck_assert_int_eq(vfmi_device_irq_declare(m.dev[0], VFM_IRQ_MSIX, i, fd), 0);
	lend(0);
	lend(1);
	start_holder();
	ck_assert_msg(vfm_borrow_open(m.ctx, path, NULL, &borrow, &err) == 0, "%s", err.message);
	for (uint32_t i = 0; i < MANY; i++) {
		ck_assert_int_ge(vfm_device_irq_eventfd(vfm_borrow_device(borrow, 0), VFM_IRQ_MSIX, i), 0);
		ck_assert_int_eq(vfmi_device_irq_declare(vfm_borrow_device(borrow, 1), VFM_IRQ_MSIX, i, fd), 0);
	}
	vfm_borrow_close(borrow);
	stop_holder();
	sys->ops = watch.real;
	for (uint32_t i = 0; i < MANY; i++)
		ck_assert_int_ge(vfm_device_irq_eventfd(m.dev[1], VFM_IRQ_MSIX, i), 0);
	/* They belong to the devices now, and would count as leaked. */
	for (unsigned int slot = 0; slot < 2; slot++) {
		vfm_device_close(m.dev[slot]);
		machine_device(&m, slot, slot ? EDU_B : EDU_A);
	}
	close(fd);
}
END_TEST

START_TEST(test_adding)
{
	int fds[3] = { -1, -1, -1 };

	lend(0);
	ck_assert_int_eq(vfm_lender_add(lender, m.dev[0], &err), -EEXIST);
	ck_assert_uint_eq(vfm_lender_fds(lender, fds, 0), 0);
	ck_assert_uint_eq(vfm_lender_fds(lender, fds, 3), 1);
	ck_assert_int_ge(fds[0], 0);
	ck_assert_uint_eq(dispatch(), VFM_LEND_NONE);
	vfm_lender_close(NULL);
	vfm_borrow_close(NULL);
}
END_TEST

/* borrowers that misbehave */

static struct vfmi_lend_message msg;

static int knock(void)
{
	struct sockaddr_un addr;
	socklen_t length;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(vfmi_lend_address(path, &addr, &length), 0);
	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&addr, length), 0);
	return fd;
}

static int hear(int fd)
{
	int r = vfmi_lend_recv(&vfmi_sys_libc, fd, &msg);

	return r == 1 ? vfmi_lend_check(&msg) : r;
}

/* The loan comes back, and another borrower comes, between the look at the first and accept(). */
static int return_and_accept(struct vfmi_sys *sys, int fd, struct sockaddr *addr, socklen_t *length)
{
	vfm_borrow_close(watch.borrow);
	watch.next = knock();
	return watch.real->accept(sys, fd, addr, length);
}

START_TEST(test_return_in_between)
{
	lend(0);
	start_holder();
	ck_assert_msg(vfm_borrow_open(m.ctx, path, NULL, &watch.borrow, &err) == 0, "%s", err.message);
	stop_holder();
	watch_calls();
	watch.ops.accept = return_and_accept;
	ck_assert_uint_eq(dispatch(), VFM_LEND_RETURNED);
	vfmi_context_sys(m.ctx)->ops = watch.real;
	ck_assert_int_eq(hear(watch.next), VFMI_LEND_HELLO);
	close(watch.next);
}
END_TEST

static void tell(int fd)
{
	ck_assert_int_eq(vfmi_lend_send(&vfmi_sys_libc, fd, &msg), 0);
}

static void tell_plain(int fd, uint16_t type)
{
	vfmi_lend_put_plain(&msg, type);
	tell(fd);
}

/* Connected, greeted, greeting returned. */
static int greeted(void)
{
	int fd = knock();

	ck_assert_uint_eq(dispatch(), VFM_LEND_NONE);
	ck_assert_int_eq(hear(fd), VFMI_LEND_HELLO);
	vfmi_lend_put_hello(&msg, &(struct vfmi_lend_hello){ 1, 1, 0 });
	tell(fd);
	ck_assert_uint_eq(dispatch(), VFM_LEND_NONE);
	return fd;
}

/* Everything was fetched. */
static int borrowing(void)
{
	int fd = greeted();
	int type = 0;

	while (type != VFMI_LEND_END) {
		tell_plain(fd, VFMI_LEND_NEXT);
		(void)dispatch();
		type = hear(fd);
		ck_assert_int_gt(type, 0);
		vfmi_lend_drop_fds(&vfmi_sys_libc, &msg);
	}
	return fd;
}

START_TEST(test_borrower_dies)
{
	int fd;

	lend(0);
	fd = borrowing();
	ck_assert_uint_eq(holder.events[0], VFM_LEND_BORROWED);
	close(fd);
	ck_assert_uint_eq(dispatch(), VFM_LEND_DIED);
	ck_assert_int_eq(holder.pid, getpid());
	/* And the next one is served. */
	fd = borrowing();
	tell_plain(fd, VFMI_LEND_RETURN);
	ck_assert_uint_eq(dispatch(), VFM_LEND_RETURNED);
	close(fd);
}
END_TEST

START_TEST(test_borrower_dies_while_fetching)
{
	int fd;

	lend(0);
	fd = greeted();
	tell_plain(fd, VFMI_LEND_NEXT);
	ck_assert_uint_eq(dispatch(), VFM_LEND_BORROWED);
	close(fd);
	ck_assert_uint_eq(dispatch(), VFM_LEND_DIED);
}
END_TEST

START_TEST(test_knocking_is_no_event)
{
	int fd = knock();

	close(fd);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(dispatch(), VFM_LEND_NONE);
	fd = greeted();
	close(fd);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(dispatch(), VFM_LEND_NONE);
}
END_TEST

START_TEST(test_silent_peer_gives_way)
{
	int silent = knock();
	int other;

	ck_assert_uint_eq(dispatch(), VFM_LEND_NONE);
	other = knock();
	ck_assert_uint_eq(dispatch(), VFM_LEND_REFUSED);
	ck_assert_int_eq(hear(other), VFMI_LEND_REFUSED);
	close(other);
	vfm_sim_advance_ns(m.sim, 4000000000u);
	other = greeted();
	ck_assert_int_eq(hear(silent), VFMI_LEND_HELLO);
	ck_assert_int_eq(hear(silent), 0);
	close(silent);
	close(other);
	(void)dispatch();
}
END_TEST

/* A save of many gigabytes takes its time, and says nothing meanwhile. */
START_TEST(test_slow_borrower_keeps_its_place)
{
	int other;
	int fd;

	lend(0);
	fd = borrowing();
	vfm_sim_advance_ns(m.sim, 3600ull * 1000000000u);
	other = knock();
	ck_assert_uint_eq(dispatch(), VFM_LEND_REFUSED);
	ck_assert_int_eq(hear(other), VFMI_LEND_REFUSED);
	close(other);
	tell_plain(fd, VFMI_LEND_RETURN);
	ck_assert_uint_eq(dispatch(), VFM_LEND_RETURNED);
	close(fd);
}
END_TEST

/* Every message at every moment: what does not belong there ends the connection, and nothing else. */
START_TEST(test_out_of_order)
{
	const uint16_t types[] = { VFMI_LEND_HELLO,   VFMI_LEND_REFUSED, VFMI_LEND_NEXT,   VFMI_LEND_DEVICE,
				   VFMI_LEND_VECTORS, VFMI_LEND_END,	 VFMI_LEND_RETURN, VFMI_LEND_DISARMED };

	lend(0);
	for (int moment = 0; moment < 3; moment++) {
		for (size_t i = 0; i < VFMI_ARRAY_SIZE(types); i++) {
			int fd = moment == 0 ? knock() : moment == 1 ? greeted() : borrowing();
			bool right = moment == 0   ? types[i] == VFMI_LEND_HELLO
				     : moment == 1 ? types[i] == VFMI_LEND_NEXT
						   : types[i] == VFMI_LEND_RETURN;
			uint32_t event;

			(void)dispatch();
			vfmi_lend_put_plain(&msg, types[i]);
			if (types[i] == VFMI_LEND_HELLO)
				vfmi_lend_put_hello(&msg, &(struct vfmi_lend_hello){ 1, 1, 0 });
			if (types[i] == VFMI_LEND_REFUSED)
				vfmi_lend_put_refused(&msg, EBUSY, "no");
			tell(fd);
			event = dispatch();
			if (!right)
				ck_assert_uint_eq(event, moment == 2 ? VFM_LEND_DIED : VFM_LEND_REFUSED);
			close(fd);
			for (int n = 0; n < 3; n++)
				(void)dispatch();
			holder.count = 0;
		}
	}
}
END_TEST

START_TEST(test_versions)
{
	const struct vfmi_lend_hello wrong[] = { { 0, 0, 0 }, { 2, 2, 0 }, { 1, 2, 0 }, { UINT16_MAX, UINT16_MAX, 0 } };

	for (size_t i = 0; i < VFMI_ARRAY_SIZE(wrong); i++) {
		char text[VFMI_LEND_MAX_TEXT + 1];
		int fd = knock();

		ck_assert_uint_eq(dispatch(), VFM_LEND_NONE);
		ck_assert_int_eq(hear(fd), VFMI_LEND_HELLO);
		vfmi_lend_put_hello(&msg, &wrong[i]);
		tell(fd);
		ck_assert_uint_eq(dispatch(), VFM_LEND_REFUSED);
		ck_assert_int_eq(hear(fd), VFMI_LEND_REFUSED);
		ck_assert_int_eq(vfmi_lend_get_refused(&msg, text), EPROTONOSUPPORT);
		close(fd);
	}
}
END_TEST

static void give_vector(int fd, uint32_t device, uint32_t index, uint32_t vector, int eventfd)
{
	vfmi_lend_begin_vectors(&msg, VFMI_LEND_VECTORS, device);
	ck_assert_int_eq(vfmi_lend_add_vector(&msg, &(struct vfmi_lend_vector){ index, vector }, eventfd), 0);
	tell(fd);
}

START_TEST(test_vectors_that_lie)
{
	struct {
		uint32_t device, index, vector;
	} const lies[] = {
		{ 1, 1, 0 },  { UINT32_MAX, 1, 0 }, { 0, UINT32_MAX, 0 }, { 0, 64, 0 },
		{ 0, 63, 0 }, { 0, 1, UINT32_MAX }, { 0, 1, 2047 },
	};
	unsigned int before;
	int ends[2];
	int fd;

	lend(0);
	before = open_descriptors();
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(lies); i++) {
		int event = eventfd(0, 0);

		fd = borrowing();
		give_vector(fd, lies[i].device, lies[i].index, lies[i].vector, event);
		ck_assert_uint_eq(dispatch(), VFM_LEND_DIED);
		close(event);
		close(fd);
	}
	for (size_t i = 0; i < VFMI_ARRAY_SIZE(lies); i++) {
		fd = borrowing();
		vfmi_lend_begin_vectors(&msg, VFMI_LEND_DISARMED, lies[i].device);
		ck_assert_int_eq(
			vfmi_lend_add_vector(&msg, &(struct vfmi_lend_vector){ lies[i].index, lies[i].vector }, -1), 0);
		tell(fd);
		ck_assert_uint_eq(dispatch(), VFM_LEND_DIED);
		close(fd);
	}
	/* A pipe, which a holder could end up waiting on. */
	ck_assert_int_eq(pipe(ends), 0);
	fd = borrowing();
	give_vector(fd, 0, VFM_IRQ_MSI, 0, ends[0]);
	ck_assert_uint_eq(dispatch(), VFM_LEND_DIED);
	ck_assert_int_eq(vfm_device_irq_eventfd(m.dev[0], VFM_IRQ_MSI, 0), -1);
	close(fd);
	close(ends[0]);
	close(ends[1]);
	ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

/* Descriptors where none belong are closed, whatever comes with them. */
START_TEST(test_unwanted_descriptors)
{
	unsigned int before = open_descriptors();

	for (int i = 0; i < 4; i++) {
		int fd = knock();

		ck_assert_uint_eq(dispatch(), VFM_LEND_NONE);
		vfmi_lend_begin_vectors(&msg, VFMI_LEND_VECTORS, 0);
		for (uint32_t n = 0; n < VFMI_LEND_MAX_FDS; n++)
			ck_assert_int_eq(vfmi_lend_add_vector(&msg, &(struct vfmi_lend_vector){ 1, n }, fd), 0);
		if (i == 1)
			msg.length = 1;
		if (i == 2)
			msg.bytes[0] = 'x';
		if (i == 3)
			msg.length = sizeof(msg.bytes);
		tell(fd);
		ck_assert_uint_eq(dispatch(), VFM_LEND_REFUSED);
		close(fd);
	}
	ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

static int stranger_getsockopt(struct vfmi_sys *sys, int fd, int level, int name, void *value, socklen_t *length)
{
	int r = vfmi_sys_libc.ops->getsockopt(sys, fd, level, name, value, length);

	if (r == 0 && level == SOL_SOCKET && name == SO_PEERCRED)
		((struct ucred *)value)->uid = 4242;
	return r;
}

static uid_t somebody(struct vfmi_sys *sys)
{
	(void)sys;
	return 1000;
}

/* A seam on which every peer is user 4242 and we are user 1000. */
START_TEST(test_strangers)
{
	struct vfmi_sys_ops ops = *vfmi_sys_libc.ops;
	struct vfmi_sys sys = { .ops = &ops };
	struct vfm_context *ctx;
	struct vfm_lender *wary;
	struct vfm_borrow *borrow;
	VFM_OPTS(vfm_lend_info, info);
	char text[VFMI_LEND_MAX_TEXT + 1];
	int fd;

	ops.getsockopt = stranger_getsockopt;
	ops.geteuid = somebody;
	ck_assert_int_eq(vfmi_context_new_on(&sys, &ctx), 0);
	ck_assert_int_eq(vfm_borrow_open(ctx, path, NULL, &borrow, &err), -EPERM);
	strcat(path, "-wary");
	ck_assert_int_eq(vfm_lender_open(ctx, path, &wary, &err), 0);
	fd = knock();
	ck_assert_int_eq(vfm_lender_dispatch(wary, &info, &err), 0);
	ck_assert_uint_eq(info.event, VFM_LEND_REFUSED);
	ck_assert_uint_eq(info.uid, 4242);
	ck_assert_int_eq(hear(fd), VFMI_LEND_REFUSED);
	ck_assert_int_eq(vfmi_lend_get_refused(&msg, text), EPERM);
	ck_assert_ptr_nonnull(strstr(text, "4242"));
	close(fd);
	vfm_lender_close(wary);
	vfm_context_free(ctx);
	for (int i = 0; i < 3; i++)
		(void)dispatch();
}
END_TEST

/* Every call of borrowing and returning fails in turn: no descriptor is lost, the lender serves the next. */
START_TEST(test_fault_sweep)
{
	uint64_t call;
	int r = -1;

	lend(0);
	lend(2);
	for (call = 1; r < 0 && call < 300; call++) {
		struct vfm_borrow *borrow;
		unsigned int before = open_descriptors();

		holder.faults = true;
		start_holder();
		machine_fault(&m, NULL, VFM_SIM_FAULT_BEFORE, call, 1, EIO);
		r = vfm_borrow_open(m.ctx, path, NULL, &borrow, &err);
		if (r == 0)
			vfm_borrow_close(borrow);
		r = vfm_sim_faults_hit(m.sim) ? -1 : r;
		ck_assert_int_eq(vfm_sim_set_faults(m.sim, NULL, 0), 0);
		holder.stop = true;
		pthread_join(holder.thread, NULL);
		memset(&holder, 0, sizeof(holder));
		for (int i = 0; i < 8; i++)
			(void)dispatch();
		holder.count = 0;
		ck_assert_uint_eq(open_descriptors(), before);
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_gt(call, 20);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lend");
	TCase *use = tcase_create("use");
	TCase *peers = tcase_create("peers");

	tcase_add_checked_fixture(use, setup, teardown);
	tcase_add_test(use, test_devices_travel);
	tcase_add_test(use, test_one_after_the_other);
	tcase_add_test(use, test_return_comes_after_the_last_close);
	tcase_add_test(use, test_nothing_lent);
	tcase_add_test(use, test_one_borrower_at_a_time);
	tcase_add_test(use, test_interrupts_travel);
	tcase_add_test(use, test_rearmed_interrupts_travel);
	tcase_add_test(use, test_disarming_travels);
	tcase_add_test(use, test_many_vectors);
	tcase_add_test(use, test_adding);
	suite_add_tcase(suite, use);

	tcase_add_checked_fixture(peers, setup, teardown);
	tcase_set_timeout(peers, 60);
	tcase_add_test(peers, test_return_in_between);
	tcase_add_test(peers, test_borrower_dies);
	tcase_add_test(peers, test_borrower_dies_while_fetching);
	tcase_add_test(peers, test_knocking_is_no_event);
	tcase_add_test(peers, test_silent_peer_gives_way);
	tcase_add_test(peers, test_slow_borrower_keeps_its_place);
	tcase_add_test(peers, test_out_of_order);
	tcase_add_test(peers, test_versions);
	tcase_add_test(peers, test_vectors_that_lie);
	tcase_add_test(peers, test_unwanted_descriptors);
	tcase_add_test(peers, test_strangers);
	tcase_add_test(peers, test_fault_sweep);
	suite_add_tcase(suite, peers);
	return run_suite(suite);
}
