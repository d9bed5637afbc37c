// SPDX-License-Identifier: MIT
/* Runs one group of the lab's scenarios on the devices named, TAP on stdout: vfm-lab GROUP DEVICE... */
#include <poll.h>
#include <unistd.h>

#include "lab.h"

static const struct lab_test *const tables[] = { mode_tests,  nvme_tests,  intx_tests,	sriov_tests,  reset_tests,
						 ready_tests, peer_tests,  group_tests, notice_tests, dirty_tests,
						 cost_tests,  vhost_tests, limit_tests, msi_tests,    process_tests,
						 gmem_tests,  pasid_tests };

int lab_open(struct env *env, uint32_t backend, enum which which, struct vfm_device **ret)
{
	struct vfm_iommu *iommu;

	return env_space(env, backend, &iommu) || env_add(env, iommu, which, ret);
}

int lab_try_token(struct env *env, enum which which, uint32_t backend, const uint8_t *token)
{
	VFM_OPTS(vfm_iommu_options, options);
	VFM_OPTS(vfm_open, open);
	struct vfm_device *dev = NULL;
	struct vfm_iommu *iommu;
	int r;

	options.backend = backend;
	OK(vfm_iommu_open(env->ctx, &options, &iommu, &env->err));
	open.name = env->names[which];
	open.flags = backend == VFM_BACKEND_IOMMUFD ? VFM_OPEN_CDEV : VFM_OPEN_GROUP;
	if (token) {
		open.flags |= VFM_OPEN_TOKEN;
		memcpy(open.vf_token, token, sizeof(open.vf_token));
	}
	r = vfm_device_open_with(env->ctx, &open, &dev, &env->err);
	if (r == 0)
		r = vfm_device_bind(dev, iommu, &env->err);
	vfm_device_close(dev);
	vfm_iommu_close(iommu);
	return r;
}

bool fired(int eventfd, int ms)
{
	struct pollfd poll_fd = { .fd = eventfd, .events = POLLIN };
	uint64_t count;

	return poll(&poll_fd, 1, ms) == 1 && read(eventfd, &count, sizeof(count)) == sizeof(count) && count > 0;
}

void lab_copy_pages(uint8_t *to, const uint8_t *from, const uint64_t *bitmap, unsigned int pages)
{
	for (unsigned int page = 0; page < pages; page++) {
		if (vfm_bitmap_test(bitmap, page))
			memcpy(to + page * PAGE, from + page * PAGE, PAGE);
	}
}

unsigned int lab_pages_differ(const uint8_t *a, const uint8_t *b, unsigned int pages)
{
	unsigned int count = 0;

	for (unsigned int page = 0; page < pages; page++)
		count += memcmp(a + page * PAGE, b + page * PAGE, PAGE) != 0;
	return count;
}

bool lab_says(struct env *env, const char *text)
{
	printf("# %s\n", env->err.message);
	return strstr(env->err.message, text);
}

static int run(const struct lab_test *test, char **names, int count)
{
	struct env env = { .err = { .size = sizeof(env.err) } };
	int r;

	for (int i = 0; i < count; i++)
		snprintf(env.names[i], sizeof(env.names[i]), "%s", names[i]);
	r = vfm_context_new(&env.ctx);
	if (r == 0)
		r = test->run(&env);
	env_close_all(&env);
	vfm_context_free(env.ctx);
	return r;
}

int main(int argc, char **argv)
{
	unsigned int number = 0;
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 3 || argc > 6) {
		fprintf(stderr, "usage: vfm-lab GROUP DEVICE...\n");
		return 2;
	}
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		for (const struct lab_test *test = tables[t]; test->name; test++) {
			int r;

			if (strcmp(test->group, argv[1]))
				continue;
			r = run(test, argv + 2, argc - 2);
			failed |= r;
			printf("%s %u - %s: %s\n", r ? "not ok" : "ok", ++number, test->group, test->name);
		}
	}
	printf("1..%u\n", number);
	return failed || !number;
}
