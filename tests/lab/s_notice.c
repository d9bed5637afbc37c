// SPDX-License-Identifier: MIT
/* What the kernel tells of a device: an error it reported, that it is wanted back, that it was woken. PCI Express. */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"

#define WAIT_MS 10000
#define PCI_ID 0

/* The registers of an injected error: what is set is in @uncorrectable. */
struct aer_error {
	uint8_t bus;
	uint8_t device;
	uint8_t function;
	uint32_t uncorrectable;
	uint32_t correctable;
	uint32_t header[4];
	uint32_t domain;
};

static int write_file(const char *path, const void *bytes, size_t length)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = write(fd, bytes, length);

	close(fd);
	return n == (ssize_t)length ? 0 : -1;
}

static bool noticed(struct env *env, struct vfm_device *dev, uint32_t want)
{
	for (int waited = 0; waited < WAIT_MS; waited += 10) {
		uint32_t notices = vfm_device_notices(dev);

		if (notices)
			return notices == want;
		env_sleep_ms(env, 10);
	}
	return false;
}

static int error_arrives(struct env *env)
{
	struct aer_error error = { .uncorrectable = 1u << 14 }; /* completion timeout */
	unsigned int domain, bus, device, function;
	struct vfm_device *dev;

	REQUIRE(sscanf(env->names[FIRST], "%x:%x:%x.%u", &domain, &bus, &device, &function) == 4);
	error.domain = domain;
	error.bus = (uint8_t)bus;
	error.device = (uint8_t)device;
	error.function = (uint8_t)function;
	if (lab_open(env, VFM_BACKEND_IOMMUFD, FIRST, &dev))
		return -1;
	OK(vfm_device_watch(dev, &env->err));
	REQUIRE(vfm_device_notices(dev) == 0);
	REQUIRE(write_file("/dev/aer_inject", &error, sizeof(error)) == 0);
	REQUIRE(noticed(env, dev, VFM_NOTICE_ERROR));
	REQUIRE(vfm_device_notices(dev) == 0);
	return 0;
}

/* Somebody takes the driver away, which lasts until the device is closed. */
static int wanted_back(struct env *env)
{
	struct vfm_device *dev;
	int status = -1;
	pid_t child;

	if (lab_open(env, VFM_BACKEND_IOMMUFD, FIRST, &dev))
		return -1;
	OK(vfm_device_watch(dev, &env->err));
	child = fork();
	if (child == 0) {
		/* what was inherited would keep the device open */
		close(vfm_device_fd(dev));
		_exit(write_file("/sys/bus/pci/drivers/vfio-pci/unbind", env->names[FIRST],
				 strlen(env->names[FIRST])) != 0);
	}
	REQUIRE(child > 0);
	REQUIRE(noticed(env, dev, VFM_NOTICE_REQUEST));
	REQUIRE(waitpid(child, &status, WNOHANG) == 0);
	env_forget(env, dev);
	REQUIRE(waitpid(child, &status, 0) == child && status == 0);
	OK(write_file("/sys/bus/pci/drivers/vfio-pci/bind", env->names[FIRST], strlen(env->names[FIRST])));
	return 0;
}

/* The kernel's word for where the device is, within a while. */
static bool becomes(struct env *env, const char *want)
{
	char path[128], text[32] = "";

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/power/runtime_status", env->names[FIRST]);
	for (int waited = 0; waited < WAIT_MS; waited += 10) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, text, sizeof(text) - 1);

		close(fd);
		text[n > 0 ? n : 0] = '\0';
		if (!strncmp(text, want, strlen(want)))
			return true;
		env_sleep_ms(env, 10);
	}
	printf("# it is %s", text);
	return false;
}

static int touch(struct env *env, struct vfm_device *dev)
{
	uint32_t id = 0;

	OK(vfm_device_region_read(dev, VFM_REGION_CONFIG, PCI_ID, &id, sizeof(id), &env->err));
	REQUIRE(id == 0x10d38086);
	OK(vfm_device_region_read(dev, VFM_REGION_BAR0, 8, &id, sizeof(id), &env->err));
	REQUIRE(id != 0xffffffff);
	return 0;
}

static int sleeps_and_wakes(struct env *env)
{
	int event = env_eventfd(env);
	struct vfm_device *dev;

	if (lab_open(env, VFM_BACKEND_IOMMUFD, FIRST, &dev) || touch(env, dev))
		return -1;
	/* an access wakes it while it lasts */
	OK(vfm_device_power(dev, VFM_POWER_LOW, -1, &env->err));
	REQUIRE(becomes(env, "suspended"));
	if (touch(env, dev))
		return -1;
	REQUIRE(becomes(env, "suspended"));
	OK(vfm_device_power(dev, VFM_POWER_ON, -1, &env->err));
	REQUIRE(becomes(env, "active"));
	/* or for good, and somebody is told */
	OK(vfm_device_power(dev, VFM_POWER_LOW, event, &env->err));
	REQUIRE(becomes(env, "suspended") && !fired(event, 0));
	if (touch(env, dev))
		return -1;
	REQUIRE(fired(event, WAIT_MS) && becomes(env, "active"));
	OK(vfm_device_power(dev, VFM_POWER_LOW, -1, &env->err));
	OK(vfm_device_power(dev, VFM_POWER_ON, -1, &env->err));
	return touch(env, dev);
}

const struct lab_test notice_tests[] = {
	{ "notices", "the kernel wants it back, and gets it", wanted_back },
	{ "notices", "low power is low power, and an access wakes it", sleeps_and_wakes },
	/* the last: what injects the error stays in the way of configuration space, with locks that lockdep forbids */
	{ "notices", "an error of the device arrives", error_arrives },
	{ NULL, NULL, NULL },
};
