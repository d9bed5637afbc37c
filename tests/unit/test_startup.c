/* SPDX-License-Identifier: MIT */
/* Many devices started: side by side, all or nothing, each failure told for its device, in order where it matters. */
#include <errno.h>
#include <pthread.h>

#include "startup_fixture.h"

START_TEST(starts_all_of_them)
{
	static const uint32_t threads[] = { 1, 2, 3, 8, 100, 0 };
	struct many many;

	many_begin(&many, SPEC);
	for (size_t i = 0; i < DEVICES; i++)
		many.starts[i].ret_dev = (struct vfm_device *)&many; /* whatever was there */
	ck_assert_msg(many_start(&many, DEVICES, threads[_i]) == 0, "%s", many.err.message);
	for (size_t i = 0; i < DEVICES; i++) {
		ck_assert_int_eq(many.starts[i].ret_code, 0);
		ck_assert_str_eq(vfm_device_name(many.starts[i].ret_dev), many.names[i]);
		ck_assert_ptr_eq(vfm_device_iommu(many.starts[i].ret_dev), many.m.iommu);
		ck_assert_uint_ne(vfm_device_pt_id(many.starts[i].ret_dev), 0);
		ck_assert_uint_ge(many.starts[i].ret_ns, RESET_NS);
		ck_assert_int_eq(many.errors[i].code, 0);
	}
	ck_assert_uint_eq(machine_usage(&many.m).devices_open, DEVICES);
	many_close(&many, DEVICES);
	many_end(&many);
}
END_TEST

/* Their resets pass side by side; with one thread, one after the other. */
START_TEST(waits_side_by_side)
{
	static const struct {
		uint32_t threads;
		uint64_t rounds;
	} cases[] = { { 1, 8 }, { 2, 4 }, { 3, 3 }, { 8, 1 }, { 0, 1 } };
	struct many many;
	uint64_t begin;

	many_begin(&many, SPEC);
	share_time(&many);
	begin = vfm_sim_now_ns(many.m.sim);
	ck_assert_int_eq(many_start(&many, DEVICES, cases[_i].threads), 0);
	ck_assert_uint_eq(vfm_sim_now_ns(many.m.sim) - begin, cases[_i].rounds * RESET_NS);
	for (size_t i = 0; i < DEVICES; i++)
		ck_assert_uint_eq(many.starts[i].ret_ns, RESET_NS);
	many_close(&many, DEVICES);
	many_end(&many);
}
END_TEST

/* failures */

/* In turn each device fails in each step; nothing stays open, and the others are told what became of them. */
START_TEST(one_failure_undoes_all)
{
	const bool binding = _i == 0;
	struct many many;

	many_begin(&many, SPEC);
	for (size_t k = 0; k < DEVICES; k++) {
		machine_fault(&many.m, binding ? "VFIO_DEVICE_BIND_IOMMUFD" : "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
			      VFM_SIM_FAULT_BEFORE, k + 1, 1, EIO);
		ck_assert_int_eq(many_start(&many, DEVICES, 1), -EIO);
		ck_assert_int_eq(vfm_sim_set_faults(many.m.sim, NULL, 0), 0);
		check_undone(&many, DEVICES);
		for (size_t i = 0; i < DEVICES; i++) {
			ck_assert_int_eq(many.starts[i].ret_code, i == k ? -EIO : -ECANCELED);
			ck_assert_int_eq(many.starts[i].ret_ns > 0, i < k + !binding);
			ck_assert_int_eq(many.errors[i].code, i == k ? EIO : 0);
			many.errors[i] = (struct vfm_error){ .size = sizeof(many.errors[i]) };
		}
		ck_assert_str_eq(many.err.device, many.names[k]);
		ck_assert_str_eq(many.err.step, binding ? "bind" : "attach");
		ck_assert_int_eq(!!strstr(many.err.message, "closed again"), k > 0);
	}
	many_end(&many);
}
END_TEST

/*
 * However the threads run, the one of the lowest index that failed is reported. All have begun when time goes on from
 * their resets, so that there are always several.
 */
START_TEST(first_of_several_failures_is_reported)
{
	struct many many;
	size_t first, failed;
	int r;

	many_begin(&many, SPEC);
	share_time(&many);
	for (unsigned int round = 0; round < 20; round++) {
		machine_fault(&many.m, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", VFM_SIM_FAULT_BEFORE, 3, UINT64_MAX, EIO);
		r = many_start(&many, DEVICES, 0);
		ck_assert_int_eq(vfm_sim_set_faults(many.m.sim, NULL, 0), 0);
		ck_assert_int_eq(r, -EIO);
		check_undone(&many, DEVICES);
		first = failed = 0;
		for (size_t i = DEVICES; i-- > 0;) {
			if (many.starts[i].ret_code != -EIO)
				continue;
			first = i;
			failed++;
		}
		ck_assert_uint_eq(failed, DEVICES - 2);
		ck_assert_str_eq(many.err.device, many.names[first]);
	}
	many_end(&many);
}
END_TEST

/* Every call there is fails once in each mode, and from there on for ever: all or nothing, and nothing leaks. */
START_TEST(sweep)
{
	static const uint32_t modes[] = { VFM_SIM_FAULT_BEFORE, VFM_SIM_FAULT_AFTER, VFM_SIM_FAULT_PARTIAL };
	struct many many;
	uint64_t struck = 1;
	int r;

	many_begin(&many, SPEC);
	for (uint64_t call = 1; struck > 0; call++) {
		machine_fault(&many.m, NULL, modes[_i % 3], call, _i < 3 ? 1 : UINT64_MAX, 0);
		r = many_start(&many, 3, 1);
		struck = vfm_sim_faults_hit(many.m.sim);
		ck_assert_int_eq(vfm_sim_set_faults(many.m.sim, NULL, 0), 0);
		if (r == 0) {
			ck_assert_uint_eq(machine_usage(&many.m).devices_open, 3);
			many_close(&many, 3);
		}
		ck_assert_msg(struck > 0 || r == 0, "without a fault: %s", many.err.message);
		check_undone(&many, r == 0 ? 0 : 3);
		ck_assert(r == 0 || many.err.code == -r);
	}
	many_end(&many);
}
END_TEST

/* before anything is opened */

START_TEST(named_twice_opens_nothing)
{
	struct many many;
	uint64_t resets;

	many_begin(&many, SPEC);
	resets = machine_usage(&many.m).resets;
	many_name(&many, 5, "vfio1"); /* 02:00.0 by its cdev */
	ck_assert_int_eq(many_start(&many, DEVICES, 0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(many.err.message, "twice"));
	ck_assert_str_eq(many.err.device, many.names[1]);
	ck_assert_int_eq(many.starts[5].ret_code, -EINVAL);
	check_undone(&many, DEVICES);
	many_name(&many, 5, "0000:99:00.0");
	ck_assert_int_eq(many_start(&many, DEVICES, 0), -ENODEV);
	ck_assert_int_eq(many.starts[4].ret_code, -ECANCELED);
	ck_assert_int_eq(many.starts[5].ret_code, -ENODEV);
	ck_assert_int_eq(many.errors[5].code, ENODEV);
	ck_assert_uint_eq(machine_usage(&many.m).resets, resets);
	many_end(&many);
}
END_TEST

START_TEST(refuses_what_it_does_not_know)
{
	struct many many;

	many_begin(&many, SPEC);
	ck_assert_int_eq(many_start(&many, 0, 0), -EINVAL);
	ck_assert_int_eq(many_start(&many, 1025, 0), -EINVAL);
	ck_assert_int_eq(vfm_devices_start(many.m.ctx, NULL, many.starts, 1, 0, NULL), -EINVAL);
	ck_assert_int_eq(vfm_devices_start(many.m.ctx, many.m.iommu, NULL, 1, 0, NULL), -EINVAL);
	many.starts[1].size = 8;
	ck_assert_int_eq(many_start(&many, 2, 0), -EINVAL);
	many.starts[1].size = sizeof(many.starts[1]);
	many.starts[1].open = NULL;
	ck_assert_int_eq(many_start(&many, 2, 0), -EINVAL);
	many.starts[1].open = &many.opens[1];
	many.opens[1].flags = 0x8000;
	ck_assert_int_eq(many_start(&many, 2, 0), -EINVAL);
	ck_assert_int_eq(many.starts[1].ret_code, -EINVAL);
	check_undone(&many, 2);
	many_end(&many);
}
END_TEST

/* A program built against a later header, which knows more members. */
struct later_start {
	struct vfm_start start;
	uint64_t more;
};

START_TEST(takes_larger_structs)
{
	struct later_start later[2] = { 0 };
	struct many many;

	many_begin(&many, SPEC);
	for (size_t i = 0; i < 2; i++) {
		later[i].start = many.starts[i];
		later[i].start.size = sizeof(later[i]);
	}
	ck_assert_int_eq(vfm_devices_start(many.m.ctx, many.m.iommu, &later[0].start, 2, 0, NULL), 0);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_str_eq(vfm_device_name(later[i].start.ret_dev), many.names[i]);
		vfm_device_close(later[i].start.ret_dev);
		later[i].start.ret_dev = NULL;
	}
	later[1].more = 1;
	ck_assert_int_eq(vfm_devices_start(many.m.ctx, many.m.iommu, &later[0].start, 2, 0, NULL), -E2BIG);
	many_end(&many);
}
END_TEST

/* A program built against an earlier header, whose struct ends before the token: what follows is not looked at. */
START_TEST(takes_smaller_structs)
{
	const size_t size = offsetof(struct vfm_start, cancel);
	union {
		struct vfm_start first;
		char bytes[2 * sizeof(struct vfm_start)];
	} room;
	struct vfm_start second;
	struct many many;

	many_begin(&many, SPEC);
	memset(&room, 0xff, sizeof(room));
	for (size_t i = 0; i < 2; i++) {
		many.starts[i].size = (uint32_t)size;
		memcpy(room.bytes + i * size, &many.starts[i], size);
	}
	ck_assert_int_eq(vfm_devices_start(many.m.ctx, many.m.iommu, &room.first, 2, 0, &many.err), 0);
	memcpy(&second, room.bytes + size, size);
	ck_assert_str_eq(vfm_device_name(second.ret_dev), many.names[1]);
	vfm_device_close(room.first.ret_dev);
	vfm_device_close(second.ret_dev);
	many_end(&many);
}
END_TEST

/* canceling */

/* Sleeps as the simulated machine does, and triggers the token the @left th time. */
struct sleepy {
	struct vfmi_sys_ops ops;
	const struct vfmi_sys_ops *real;
	struct vfm_cancel *token;
	int left;
	uint64_t slept_since_ns;
};

static struct sleepy sleepy;

static void sleep_and_trigger(struct vfmi_sys *sys, uint64_t ns)
{
	sleepy.real->sleep_ns(sys, ns);
	if (sleepy.left > 0 && --sleepy.left == 0)
		vfm_cancel_trigger(sleepy.token);
	else if (sleepy.left == 0)
		sleepy.slept_since_ns += ns;
}

static void many_watch(struct many *many, size_t count, int left)
{
	struct vfmi_sys *sys = many->m.ctx->sys;

	sleepy = (struct sleepy){ .ops = *sys->ops, .real = sys->ops, .left = left };
	ck_assert_int_eq(vfm_cancel_new(many->m.ctx, &sleepy.token), 0);
	many->m.before.open_fds++;
	sleepy.ops.sleep_ns = sleep_and_trigger;
	sys->ops = &sleepy.ops;
	for (size_t i = 0; i < count; i++)
		many->starts[i].cancel = sleepy.token;
}

static void many_unwatch(struct many *many)
{
	many->m.ctx->sys->ops = sleepy.real;
	vfm_cancel_free(sleepy.token);
	many->m.before.open_fds--;
}

START_TEST(canceled_before_nothing_is_opened)
{
	struct many many;
	uint64_t resets;

	many_begin(&many, SPEC);
	many_watch(&many, DEVICES, 0);
	vfm_cancel_trigger(sleepy.token);
	resets = machine_usage(&many.m).resets;
	ck_assert_int_eq(many_start(&many, DEVICES, 1), -ECANCELED);
	ck_assert_ptr_nonnull(strstr(many.err.message, "canceled before it was opened"));
	ck_assert_uint_eq(machine_usage(&many.m).resets, resets);
	check_undone(&many, DEVICES);
	for (size_t i = 0; i < DEVICES; i++)
		ck_assert_int_eq(many.starts[i].ret_code, -ECANCELED);
	many_unwatch(&many);
	many_end(&many);
}
END_TEST

/* The second is waited for, then the first is closed again. Once it is not too late, all can be started. */
START_TEST(canceled_while_one_is_not_ready)
{
	struct many many;

	many_begin(&many, "edu@0000:01:00.0;edu@0000:02:00.0,ready=20s");
	many_watch(&many, 2, 40 + _i);
	ck_assert_int_eq(many_start(&many, 2, 1), -ECANCELED);
	ck_assert_ptr_nonnull(strstr(many.err.message, "not ready yet"));
	ck_assert_str_eq(many.err.device, "0000:02:00.0");
	ck_assert_uint_eq(sleepy.slept_since_ns, 0);
	check_undone(&many, 2);
	many_unwatch(&many);
	many.starts[0].cancel = NULL;
	many.starts[1].cancel = NULL;
	ck_assert_msg(many_start(&many, 2, 1) == 0, "%s", many.err.message);
	many_close(&many, 2);
	many_end(&many);
}
END_TEST

/* Whatever is done with the token after the call is nothing to the devices. */
START_TEST(a_token_is_not_kept)
{
	struct many many;

	many_begin(&many, "edu@0000:01:00.0,ready=2s");
	many_watch(&many, 1, 0);
	ck_assert_msg(many_start(&many, 1, 1) == 0, "%s", many.err.message);
	vfm_cancel_trigger(sleepy.token);
	ck_assert_msg(vfm_device_reset(many.starts[0].ret_dev, &many.err) == 0, "%s", many.err.message);
	many_close(&many, 1);
	many_unwatch(&many);
	many_end(&many);
}
END_TEST

/* threads */

/* An executor that starts so many and no more. */
struct few {
	struct vfm_executor inner;
	unsigned int left;
	unsigned int running;
};

static int few_run(void *user, void (*work)(void *arg), void *arg, void **ret_task)
{
	struct few *few = user;
	int r;

	if (few->left == 0)
		return -EAGAIN;
	r = few->inner.run(few->inner.user, work, arg, ret_task);
	ck_assert_int_eq(r, 0);
	few->left--;
	few->running++;
	return 0;
}

static void few_join(void *user, void *task)
{
	struct few *few = user;

	few->inner.join(few->inner.user, task);
	few->running--;
}

static void count_warning(void *user, int level, const char *message)
{
	unsigned int *warnings = user;

	if (level == VFM_LOG_WARNING && strstr(message, "threads in place of"))
		++*warnings;
}

START_TEST(goes_on_with_the_threads_there_are)
{
	VFM_OPTS(vfm_executor, executor);
	unsigned int warnings = 0;
	struct few few = { .left = (unsigned int)_i };
	struct many many;
	uint64_t begin;

	many_begin(&many, SPEC);
	few.inner.size = sizeof(few.inner);
	ck_assert_int_eq(vfm_sim_executor(many.m.sim, &few.inner), 0);
	executor.user = &few;
	executor.run = few_run;
	executor.join = few_join;
	ck_assert_int_eq(vfm_context_set_executor(many.m.ctx, &executor), 0);
	vfm_context_set_log(many.m.ctx, VFM_LOG_WARNING, count_warning, &warnings);
	begin = vfm_sim_now_ns(many.m.sim);
	ck_assert_int_eq(many_start(&many, DEVICES, 4), 0);
	ck_assert_uint_eq(few.left, 0);
	ck_assert_uint_eq(few.running, 0);
	ck_assert_uint_eq(warnings, _i < 3);
	ck_assert_uint_eq(vfm_sim_now_ns(many.m.sim) - begin, (DEVICES + _i) / (_i + 1) * RESET_NS);
	many_close(&many, DEVICES);
	many_end(&many);
}
END_TEST

/* order */

/* Devices of one group are started in the order they were named, others beside them. */
START_TEST(one_group_is_one_after_the_other)
{
	struct many many;
	uint64_t begin;

	many_begin(&many, "edu@0000:01:00.0,reset=100ms;edu@0000:02:00.0,reset=100ms,group=77;"
			  "edu@0000:03:00.0,reset=100ms;edu@0000:04:00.0,reset=100ms,group=77");
	share_time(&many);
	begin = vfm_sim_now_ns(many.m.sim);
	ck_assert_msg(many_start(&many, 4, 0) == 0, "%s", many.err.message);
	ck_assert_uint_eq(vfm_sim_now_ns(many.m.sim) - begin, 2 * RESET_NS);
	ck_assert_uint_eq(vfm_device_id(many.starts[3].ret_dev) > vfm_device_id(many.starts[1].ret_dev), 1);
	many_close(&many, 4);
	many_end(&many);
}
END_TEST

/* The physical function sets the token that its virtual ones are asked for: beside it they would come too early. */
START_TEST(one_token_is_one_after_the_other)
{
	struct many many;
	uint64_t begin;

	many_begin(&many,
		   "kernel=6.17;edu@0000:01:00.0,reset=100ms,sriov=1;edu@0000:02:00.0,reset=100ms,pf=0000:01:00.0;"
		   "edu@0000:03:00.0,reset=100ms,pf=0000:01:00.0;edu@0000:04:00.0,reset=100ms");
	share_time(&many);
	for (size_t i = 0; i < 3; i++) {
		many.opens[i].flags = VFM_OPEN_TOKEN;
		memset(many.opens[i].vf_token, 7, sizeof(many.opens[i].vf_token));
	}
	begin = vfm_sim_now_ns(many.m.sim);
	ck_assert_msg(many_start(&many, 4, 0) == 0, "%s", many.err.message);
	ck_assert_uint_eq(vfm_sim_now_ns(many.m.sim) - begin, 3 * RESET_NS);
	many_close(&many, 4);
	many_end(&many);
}
END_TEST

/* The same through groups and a container, which all devices join. */
START_TEST(containers_too)
{
	struct many many;

	many_begin(&many, SPEC);
	use_container(&many);
	ck_assert_msg(many_start(&many, DEVICES, 0) == 0, "%s", many.err.message);
	for (size_t i = 0; i < DEVICES; i++)
		ck_assert_int_ge(vfm_device_group_fd(many.starts[i].ret_dev), 0);
	many_close(&many, DEVICES);
	machine_fault(&many.m, "VFIO_GROUP_GET_DEVICE_FD", VFM_SIM_FAULT_BEFORE, 4, 1, EMFILE);
	ck_assert_int_eq(many_start(&many, DEVICES, 0), -EMFILE);
	ck_assert_int_eq(vfm_sim_set_faults(many.m.sim, NULL, 0), 0);
	check_undone(&many, DEVICES);
	many_end(&many);
}
END_TEST

/* Several calls at once on one context and one address space, while it is mapped and asked. */

struct quarter {
	struct many *many;
	size_t first;
	int r;
};

static void *start_quarter(void *arg)
{
	struct quarter *quarter = arg;

	quarter->r = vfm_devices_start(quarter->many->m.ctx, quarter->many->m.iommu,
				       quarter->many->starts + quarter->first, DEVICES / 4, 0, NULL);
	return NULL;
}

START_TEST(beside_itself_and_other_calls)
{
	static uint8_t memory[2][4096] __attribute__((aligned(4096)));
	struct quarter quarters[4];
	pthread_t threads[4];
	VFM_OPTS(vfm_iommu_info, info);
	VFM_OPTS(vfm_map, map);
	struct many many;

	many_begin(&many, SPEC);
	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED;
	map.vaddr = memory[0];
	map.length = sizeof(memory[0]);
	map.iova = 0x100000;
	for (size_t i = 0; i < 4; i++) {
		quarters[i] = (struct quarter){ .many = &many, .first = i * DEVICES / 4 };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, start_quarter, &quarters[i]), 0);
	}
	for (unsigned int i = 0; i < 20; i++) {
		ck_assert_int_eq(vfm_iommu_map(many.m.iommu, &map, NULL), 0);
		ck_assert_int_eq(vfm_iommu_info(many.m.iommu, &info, NULL), 0);
		ck_assert_int_eq(vfm_iommu_unmap(many.m.iommu, map.iova, map.length, NULL), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_int_eq(quarters[i].r, 0);
	}
	many_close(&many, DEVICES);
	many_end(&many);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("startup");
	TCase *tc = tcase_create("devices");

	tcase_add_loop_test(tc, starts_all_of_them, 0, 6);
	tcase_add_loop_test(tc, waits_side_by_side, 0, 5);
	tcase_add_loop_test(tc, one_failure_undoes_all, 0, 2);
	tcase_add_test(tc, first_of_several_failures_is_reported);
	tcase_add_loop_test(tc, sweep, 0, 6);
	tcase_add_test(tc, named_twice_opens_nothing);
	tcase_add_test(tc, refuses_what_it_does_not_know);
	tcase_add_test(tc, takes_larger_structs);
	tcase_add_test(tc, takes_smaller_structs);
	tcase_add_test(tc, canceled_before_nothing_is_opened);
	tcase_add_loop_test(tc, canceled_while_one_is_not_ready, 0, 3);
	tcase_add_test(tc, a_token_is_not_kept);
	tcase_add_loop_test(tc, goes_on_with_the_threads_there_are, 0, 4);
	tcase_add_test(tc, one_group_is_one_after_the_other);
	tcase_add_test(tc, one_token_is_one_after_the_other);
	tcase_add_test(tc, containers_too);
	tcase_add_test(tc, beside_itself_and_other_calls);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
