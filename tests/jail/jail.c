// SPDX-License-Identifier: MIT
/*
 * vfm-jail [--sim SPEC] [--iommu BACKEND] [DEVICE DEVICE [MANY]]: the library in a seccomp filter, TAP on stdout.
 *
 * A holder opens two devices by name, of edu or vfiomig_soft, and maybe a third one that has several vectors, of MSI or
 * MSI-X, none of which can be added to enabled ones. A child that inherits the descriptors enters a filter
 * that allows what syscalls.txt lists from adoption on, and nothing else; there it adopts, maps, takes interrupts,
 * migrates, resets. Then all phases are watched, each for its own part of the list. That the filter bites is shown as
 * well.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "jail.h"

static unsigned int number;

int report(bool good, const char *format, ...)
{
	va_list args;

	printf("%s %u - ", good ? "ok" : "not ok", ++number);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	return good ? 0 : 1;
}

static int new_context(struct jail *j)
{
	return j->env.sim ? vfm_sim_context(j->env.sim, &j->env.ctx) : vfm_context_new(&j->env.ctx);
}

/* In a child with a context of its own, as in a program of its own; the exit status tells. */
static int in_child(struct jail *j, int (*run)(struct jail *j))
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		int bad = new_context(j) || run(j);

		fflush(stdout);
		_exit(bad ? 1 : 0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return -1;
	return status;
}

static uint32_t flags_of(const struct jail *j)
{
	return j->env.sim ? JAIL_SIMULATED : 0;
}

static int enter_and_work(struct jail *j, uint32_t flags)
{
	int r;

	j->jailed = true;
	j->no_threads = flags & JAIL_NO_THREADS;
	if (peers_open(j))
		return -1;
	r = jail_enter(flags);
	if (r < 0) {
		printf("# no filter: %s\n", strerror(-r));
		return -1;
	}
	return jail_work(j);
}

static int work_inside(struct jail *j)
{
	return enter_and_work(j, flags_of(j));
}

static int work_without_threads(struct jail *j)
{
	return pool_start(j->env.ctx, 4) || enter_and_work(j, flags_of(j) | JAIL_NO_THREADS);
}

/* What must not be possible inside. */

static void open_path(struct jail *j)
{
	(void)j;
	(void)!open("/dev/null", O_RDONLY);
}

static void stat_path(struct jail *j)
{
	struct stat st;

	(void)j;
	(void)!stat("/", &st);
}

static void read_link(struct jail *j)
{
	char buf[8];

	(void)j;
	(void)!readlink("/proc/self/exe", buf, sizeof(buf));
}

static void make_socket(struct jail *j)
{
	(void)j;
	(void)!socket(AF_UNIX, SOCK_STREAM, 0);
}

static void other_ioctl(struct jail *j)
{
	struct termios t;

	(void)j;
	(void)!ioctl(0, TCGETS, &t);
}

static void make_process(struct jail *j)
{
	(void)j;
	if (fork() == 0)
		_exit(0);
}

static void execute(struct jail *j)
{
	(void)j;
	(void)!execl("/bin/true", "true", NULL);
}

static void find_device(struct jail *j)
{
	struct vfm_candidate candidate = { .size = sizeof(candidate) };

	(void)!vfm_find(j->env.ctx, j->env.names[EDU_A], &candidate, NULL);
}

static const struct bite {
	const char *name;
	void (*run)(struct jail *j);
	bool real_only; /* a simulated machine does such things itself, or answers without the kernel */
} bites[] = {
	{ "open", open_path, true },
	{ "stat", stat_path, false },
	{ "readlink", read_link, false },
	{ "socket", make_socket, false },
	{ "a foreign ioctl", other_ioctl, false },
	{ "fork", make_process, false },
	{ "exec", execute, false },
	{ "the library's own vfm_find()", find_device, true },
};
static const struct bite *bite;

static int bite_inside(struct jail *j)
{
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* nobody needs the core */
	if (jail_enter(flags_of(j)) == 0)
		bite->run(j);
	return 0;
}

static int check_bites(struct jail *j)
{
	int bad = 0;

	for (bite = bites; bite < bites + sizeof(bites) / sizeof(bites[0]); bite++) {
		int status;

		if (bite->real_only && j->env.sim)
			continue;
		status = in_child(j, bite_inside);
		bad += report(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s ends the process", bite->name);
	}
	return bad;
}

static int check_work(struct jail *j, int (*work)(struct jail *j), const char *how)
{
	int status = -1, bad;

	if (jail_files(j) == 0 && jail_open(j) == 0)
		status = in_child(j, work);
	if (WIFSIGNALED(status))
		printf("# ended by %s; which call it was is told below\n", strsignal(WTERMSIG(status)));
	bad = report(status == 0, "adopted, migrated, closed inside (%s, %s)", vfm_backend_name(j->adopt[0].backend),
		     how);
	jail_close_all(j);
	return bad;
}

static int watch_inside(struct jail *j)
{
	int bad = jail_files(j) ? 1 : watch_work(j);

	printf("1..%u\n", number);
	return bad;
}

static int start(struct jail *j, const char *sim, char **names)
{
	char message[256] = "";
	int r = 0;

	snprintf(j->env.names[EDU_A], sizeof(j->env.names[EDU_A]), "%s", names[0] ? names[0] : "0000:01:00.0");
	snprintf(j->env.names[EDU_B], sizeof(j->env.names[EDU_B]), "%s", names[0] ? names[1] : "0000:02:00.0");
	j->vectors = !names[0] || names[2];
	snprintf(j->env.names[2], sizeof(j->env.names[2]), "%s", names[0] && names[2] ? names[2] : "0000:03:00.0");
	j->soft = soft_is(j->env.names[EDU_A]);
	if (sim)
		r = vfm_sim_open(NULL, *sim ? sim : NULL, &j->env.sim, message, sizeof(message));
	if (r == 0)
		r = new_context(j);
	if (r < 0)
		printf("Bail out! %s %s\n", strerror(-r), message);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "sim", 1, NULL, 's' }, { "iommu", 1, NULL, 'i' }, { 0 } };
	static struct jail j = { .env = { .err = { .size = sizeof(struct vfm_error) } } };
	const char *sim = NULL;
	int opt, bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 's')
			sim = optarg;
		else if (opt != 'i' || vfm_backend_from_name(optarg, &j.backend))
			return 2;
	}
	if (argc != optind && argc - optind != 2 && argc - optind != 3)
		return 2;
	if (start(&j, sim, argv + optind))
		return 1;
	if (FILTERS)
		bad = check_work(&j, work_inside, "threads made inside") +
		      check_work(&j, work_without_threads, "threads made before") + check_bites(&j);
	bad += in_child(&j, watch_inside) ? 1 : 0;
	vfm_context_free(j.env.ctx);
	vfm_sim_close(j.env.sim);
	return bad ? 1 : 0;
}
