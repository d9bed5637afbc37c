// SPDX-License-Identifier: MIT
/*
 * vfm-holder [--sim FILE] [--exit N] [--state STATE]... DEVICE SOCKET COMMAND...
 *
 * A small VMM without a guest: owns an edu device, its iommufd and memory, keeps DMA running, lends the device on
 * SOCKET and runs COMMAND. When that has ended with status N (0) it asks the device for its state, which must be one of
 * those given (RUNNING), goes on from there, and its DMA and interrupts must go on as well. TAP on stdout.
 */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kmod/vfiomig_edu.h"
#include "scenario.h"

#define PAGE 4096ull
#define IOVA 0x30000ull
#define COPY 256u

struct holder {
	struct vfm_device *dev;
	uint8_t *memory;
	int irq;
	uint64_t borrowed;
	uint64_t returned;
	uint64_t died;
};

static unsigned int number;

static int report(bool good, const char *what)
{
	printf("%s %u - %s\n", good ? "ok" : "not ok", ++number, what);
	return good ? 0 : 1;
}

static int start_pump(struct env *env, struct holder *h)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };

	h->memory = map.vaddr = env_memory(env, 4 * PAGE);
	map.iova = IOVA;
	map.length = 4 * PAGE;
	REQUIRE(h->memory);
	OK(vfm_iommu_map(vfm_device_iommu(h->dev), &map, &env->err));
	memset(h->memory, 0x6d, COPY);
	h->irq = env_eventfd(env);
	OK(vfm_device_irq_arm(h->dev, VFM_IRQ_MSI, 0, 1, &h->irq, &env->err));
	OK(vfm_device_bus_master(h->dev, true, &env->err));
	return edu_control_write(env, h->dev, VFIOMIG_EDU_PUMP_SRC, IOVA) ||
	       edu_control_write(env, h->dev, VFIOMIG_EDU_PUMP_DST, IOVA + PAGE) ||
	       edu_control_write(env, h->dev, VFIOMIG_EDU_PUMP_LENGTH, COPY) ||
	       edu_control_write(env, h->dev, VFIOMIG_EDU_PUMP_STRIDE, COPY) ||
	       edu_control_write(env, h->dev, VFIOMIG_EDU_PUMP_SLOTS, 8) ||
	       edu_control_write(env, h->dev, VFIOMIG_EDU_PUMP_CTRL, VFIOMIG_EDU_PUMP_RUN | VFIOMIG_EDU_PUMP_IRQ);
}

/* Two more copies, each of what is in memory now, and an interrupt for them. */
static int pump_goes_on(struct env *env, struct holder *h)
{
	struct pollfd pfd = { .fd = h->irq, .events = POLLIN };
	uint64_t before, now = 0, irqs;

	memset(h->memory, (int)(0x20 + h->borrowed), COPY);
	memset(h->memory + PAGE, 0, 8 * COPY);
	if (edu_control_read(env, h->dev, VFIOMIG_EDU_PUMP_COMPLETED, &before))
		return -1;
	for (int i = 0; i < 200 && now < before + 3; i++) {
		env_sleep_ms(env, 20);
		if (edu_control_read(env, h->dev, VFIOMIG_EDU_PUMP_COMPLETED, &now))
			return -1;
	}
	REQUIRE(now >= before + 3);
	REQUIRE(!memcmp(h->memory + PAGE + ((now - 1) % 8) * COPY, h->memory, COPY));
	REQUIRE(poll(&pfd, 1, 2000) == 1 && read(h->irq, &irqs, sizeof(irqs)) == sizeof(irqs));
	return 0;
}

static void count_event(struct holder *h, uint32_t event)
{
	h->borrowed += event == VFM_LEND_BORROWED;
	h->returned += event == VFM_LEND_RETURNED;
	h->died += event == VFM_LEND_DIED;
}

/* Serve until the command has ended and every loan is over. */
static int serve(struct env *env, struct holder *h, struct vfm_lender *lender, pid_t child)
{
	bool running = true;
	int status = -1;

	for (int idle = 0; running || idle < 50;) {
		struct vfm_lend_info info = { .size = sizeof(info) };

		if (vfm_lender_dispatch(lender, &info, &env->err)) {
			printf("# lending: %s\n", env->err.message);
			return -1;
		}
		count_event(h, info.event);
		if (running && waitpid(child, &status, WNOHANG) == child)
			running = false;
		idle = info.event || running ? 0 : idle + 1;
		usleep(2000);
	}
	if (h->borrowed != h->returned + h->died)
		printf("# %llu loans, %llu came back, %llu died\n", (unsigned long long)h->borrowed,
		       (unsigned long long)h->returned, (unsigned long long)h->died);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(struct env *env, struct holder *h, const char *path, uint32_t states, int want, char **command)
{
	struct vfm_lender *lender;
	uint32_t state = VFM_STATE_UNKNOWN;
	int bad, got;
	pid_t child;

	if (report(!start_pump(env, h) && !pump_goes_on(env, h), "DMA and interrupts run"))
		return 1;
	if (vfm_lender_open(env->ctx, path, &lender, &env->err) || vfm_lender_add(lender, h->dev, &env->err)) {
		printf("Bail out! %s\n", env->err.message);
		return 1;
	}
	fflush(stdout);
	child = fork();
	if (child == 0) {
		signal(SIGINT, SIG_DFL); /* a shell's background jobs ignore it */
		dup2(2, 1);
		execvp(command[0], command);
		_exit(127);
	}
	got = serve(env, h, lender, child);
	printf("# command ended with %d; %llu loans\n", got, (unsigned long long)h->borrowed);
	bad = report(got == want, "the command ended as it should");
	bad |= report(h->borrowed > 0 && h->borrowed == h->returned + h->died, "every loan came to an end");
	bad |= report(!vfm_device_get_state(h->dev, &state, &env->err) && (states & 1u << state),
		      "the device is in the state that is documented");
	printf("# it is %s\n", vfm_state_name(state));
	if (state != VFM_STATE_RUNNING)
		bad |= report(!vfm_device_set_state(h->dev, VFM_STATE_RUNNING, &state, &env->err), "back to RUNNING");
	bad |= report(!pump_goes_on(env, h), "DMA and interrupts go on");
	vfm_lender_close(lender);
	return bad;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "sim", 1, NULL, 's' }, { "exit", 1, NULL, 'e' }, { "state", 1, NULL, 't' }, { NULL, 0, NULL, 0 }
	};
	struct env env = { .err = { .size = sizeof(struct vfm_error) } };
	struct holder h = { .dev = NULL };
	const char *sim = NULL;
	uint32_t states = 0, state;
	char message[256] = "";
	int opt, want = 0, bad;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	while ((opt = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		if (opt == 's')
			sim = optarg;
		else if (opt == 'e')
			want = atoi(optarg);
		else if (opt == 't' && !vfm_state_from_name(optarg, &state) && state < 32)
			states |= 1u << state;
		else
			return 2;
	}
	if (argc - optind < 3)
		return 2;
	if (sim ? vfm_sim_open(sim, NULL, &env.sim, message, sizeof(message)) || vfm_sim_context(env.sim, &env.ctx)
		: vfm_context_new(&env.ctx)) {
		printf("Bail out! %s\n", message);
		return 1;
	}
	snprintf(env.names[EDU_A], sizeof(env.names[EDU_A]), "%s", argv[optind]);
	bad = env_open(&env, EDU_A, &h.dev) || edu_fill(&env, h.dev, 0, 100000, 77) ||
	      run(&env, &h, argv[optind + 1], states ? states : 1u << VFM_STATE_RUNNING, want, argv + optind + 2);
	if (!bad)
		bad = report(!edu_compare(&env, h.dev, 0, 100000, 77), "its contents are what they were");
	printf("1..%u\n", number);
	env_close_all(&env);
	vfm_context_free(env.ctx);
	vfm_sim_close(env.sim);
	return bad ? 1 : 0;
}
