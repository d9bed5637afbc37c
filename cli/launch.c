/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting a command with chosen descriptors kept open; nothing else of ours survives into it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"

#define MAX_IRQS 64u /* far above what any bus has; the kernel's count is not believed further */
#define MAX_VECTORS 2048u

static int check_file(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return errno;
	return S_ISREG(st.st_mode) ? 0 : EACCES;
}

static int check_in(const char *directory, int length, const char *name)
{
	char *path;
	int r;

	if (asprintf(&path, "%.*s%s%s", length, directory, length ? "/" : "", name) < 0)
		return ENOMEM;
	r = check_file(path);
	free(path);
	return r;
}

static int find_command(const char *name)
{
	const char *path = getenv("PATH") ?: "/bin:/usr/bin";
	int r = ENOENT;

	if (strchr(name, '/'))
		return check_file(name);
	for (const char *end; *name && r; path = end + 1) {
		const int found = check_in(path, (int)((end = strchrnul(path, ':')) - path), name);

		/* one that may not be executed says more than others that are not there */
		if (found == 0 || r == ENOENT)
			r = found;
		if (!*end)
			break;
	}
	return r;
}

int launch_check(struct cli *cli, const char *name)
{
	int r = find_command(name);

	return r ? cli_fail_errno(cli, CLI_FAILED, r, NULL, "command", "cannot start '%s': %s", name, strerror(r)) : 0;
}

/* dup2 onto itself is how posix_spawn spells "without close-on-exec". */
static int keep(posix_spawn_file_actions_t *actions, int fd)
{
	return fd < 0 ? 0 : posix_spawn_file_actions_adddup2(actions, fd, fd);
}

static int keep_interrupt(posix_spawn_file_actions_t *actions, struct vfm_device *dev, uint32_t index)
{
	struct vfm_irq irq = { .size = sizeof(irq) };
	int r = 0;

	if (vfm_device_irq(dev, index, &irq, NULL) < 0)
		return 0;
	/* just those that the description names */
	for (uint32_t v = 0; irq.armed > 0 && v < MAX_VECTORS && r == 0; v++) {
		const int fd = vfm_device_irq_eventfd(dev, index, v);

		irq.armed -= fd >= 0;
		r = keep(actions, fd);
	}
	return r;
}

static int keep_device(posix_spawn_file_actions_t *actions, struct vfm_device *dev)
{
	struct vfm_device_info info = { .size = sizeof(info) };
	struct vfm_iommu *iommu = vfm_device_iommu(dev);
	int r = keep(actions, vfm_device_fd(dev));

	if (r == 0 && iommu)
		r = keep(actions, vfm_iommu_fd(iommu));
	if (r || vfm_device_info(dev, &info, NULL) < 0)
		return r;
	for (uint32_t i = 0; i < info.num_irqs && i < MAX_IRQS && r == 0; i++)
		r = keep_interrupt(actions, dev, i);
	return r;
}

/* Set in our own environment, which is of no other use and which the command gets a copy of. */
static int tell_devices(struct cli *cli, const struct cli_devices *devices, int code)
{
	char name[48], text[VFM_DESCRIPTION_MAX];

	snprintf(text, sizeof(text), "%zu", devices->count);
	if (setenv("VFIOMIG_DEVICES", text, 1) < 0)
		return cli_fail_errno(cli, code, ENOMEM, NULL, "command", "out of memory");
	for (size_t i = 0; i < devices->count; i++) {
		int r = vfm_device_describe(devices->items[i].dev, text, sizeof(text));

		if (r < 0)
			return cli_fail_errno(cli, code, -r, vfm_device_name(devices->items[i].dev), "command",
					      "%s cannot be described: %s", vfm_device_name(devices->items[i].dev),
					      strerror(-r));
		snprintf(name, sizeof(name), "VFIOMIG_DEVICE_%zu", i);
		if (setenv(name, text, 1) < 0)
			return cli_fail_errno(cli, code, ENOMEM, NULL, "command", "out of memory");
	}
	return 0;
}

int launch_attributes(posix_spawnattr_t *attr, short flags)
{
	sigset_t none, broken_pipe;
	int r;

	sigemptyset(&none);
	sigemptyset(&broken_pipe);
	sigaddset(&broken_pipe, SIGPIPE);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &broken_pipe);
	if (r == 0)
		r = posix_spawnattr_setflags(attr, (short)(flags | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
	return r;
}

static int start(const struct cli_devices *devices, char **argv, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return r;
	r = posix_spawnattr_init(&attr);
	if (r)
		goto out_actions;
	r = launch_attributes(&attr, 0);
	for (size_t i = 0; i < devices->count && r == 0; i++)
		r = keep_device(&actions, devices->items[i].dev);
	if (r == 0)
		r = posix_spawnp(ret_pid, argv[0], &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
out_actions:
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

int launch(struct cli *cli, const struct cli_devices *devices, char **argv, int code, pid_t *ret_pid)
{
	int r = tell_devices(cli, devices, code);

	if (r)
		return r;
	r = start(devices, argv, ret_pid);
	return r ? cli_fail_errno(cli, code, r, NULL, "command", "cannot start '%s': %s", argv[0], strerror(r)) : 0;
}

int launch_exit_status(int wait_status)
{
	return WIFSIGNALED(wait_status) ? CLI_SIGNAL + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
