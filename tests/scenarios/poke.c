// SPDX-License-Identifier: MIT
/*
 * vfm-poke [--sim FILE] WHERE ACTION...: do things to a device that somebody else opened, TAP on stdout. WHERE is a
 * holder's socket, or "env" for the device described in VFIOMIG_DEVICE_0. Actions, in the order given:
 *
 *	fill=SEED compare=SEED	  all contents of an edu
 *	blank			  contents of an edu begin with zeros
 *	live=N is-live=N	  edu's live check register
 *	send=TEXT expect=TEXT	  FIFO of an mtty
 *	map pump pumping dma	  memory for an edu, start its pump, see it going on with interrupts, one DMA each way
 *	state=NAME is=NAME	  move to a state, be in one
 */
#include <poll.h>
#include <unistd.h>

#include "../kmod/vfiomig_edu.h"
#include "scenario.h"

#define PAGE 4096ull
#define IOVA 0x30000ull
#define COPY 256u

static uint8_t *memory;

static int do_map(struct env *env, struct vfm_device *dev, const char *unused)
{
	struct vfm_map map = { .size = sizeof(map), .flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED };

	(void)unused;
	memory = map.vaddr = env_memory(env, 4 * PAGE);
	map.iova = IOVA;
	map.length = 4 * PAGE;
	REQUIRE(memory && vfm_device_iommu(dev));
	memset(memory, 0x51, COPY);
	OK(vfm_iommu_map(vfm_device_iommu(dev), &map, &env->err));
	return 0;
}

static int do_pump(struct env *env, struct vfm_device *dev, const char *unused)
{
	int fd = vfm_device_irq_eventfd(dev, VFM_IRQ_MSI, 0);

	(void)unused;
	if (fd < 0) {
		fd = env_eventfd(env);
		OK(vfm_device_irq_arm(dev, VFM_IRQ_MSI, 0, 1, &fd, &env->err));
	}
	OK(vfm_device_bus_master(dev, true, &env->err));
	return edu_control_write(env, dev, VFIOMIG_EDU_PUMP_SRC, IOVA) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_DST, IOVA + PAGE) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_LENGTH, COPY) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_STRIDE, COPY) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_SLOTS, 8) ||
	       edu_control_write(env, dev, VFIOMIG_EDU_PUMP_CTRL, VFIOMIG_EDU_PUMP_RUN | VFIOMIG_EDU_PUMP_IRQ);
}

static int do_pumping(struct env *env, struct vfm_device *dev, const char *unused)
{
	struct pollfd pfd = { .fd = vfm_device_irq_eventfd(dev, VFM_IRQ_MSI, 0), .events = POLLIN };
	uint64_t before, now = 0, irqs;

	(void)unused;
	REQUIRE(memory && pfd.fd >= 0);
	if (edu_control_read(env, dev, VFIOMIG_EDU_PUMP_COMPLETED, &before))
		return -1;
	for (int i = 0; i < 200 && now < before + 3; i++) {
		env_sleep_ms(env, 20);
		if (edu_control_read(env, dev, VFIOMIG_EDU_PUMP_COMPLETED, &now))
			return -1;
	}
	REQUIRE(now >= before + 3);
	REQUIRE(!memcmp(memory + PAGE + ((now - 1) % 8) * COPY, memory, COPY));
	REQUIRE(poll(&pfd, 1, 2000) == 1 && read(pfd.fd, &irqs, sizeof(irqs)) == sizeof(irqs));
	return 0;
}

static int do_dma(struct env *env, struct vfm_device *dev, const char *unused)
{
	(void)unused;
	REQUIRE(memory);
	OK(vfm_device_bus_master(dev, true, &env->err));
	memset(memory + 3 * PAGE, 0, PAGE);
	if (edu_dma(env, dev, IOVA, 128, true, false) || edu_dma(env, dev, IOVA + 3 * PAGE, 128, false, false))
		return -1;
	REQUIRE(!memcmp(memory, memory + 3 * PAGE, 128));
	return 0;
}

static int do_fill(struct env *env, struct vfm_device *dev, const char *seed)
{
	uint64_t bytes;

	return edu_contents_bytes(env, dev, &bytes) || edu_fill(env, dev, 0, bytes, (uint32_t)atoi(seed));
}

static int do_compare(struct env *env, struct vfm_device *dev, const char *seed)
{
	uint64_t bytes;

	return edu_contents_bytes(env, dev, &bytes) || edu_compare(env, dev, 0, bytes, (uint32_t)atoi(seed));
}

static int do_blank(struct env *env, struct vfm_device *dev, const char *unused)
{
	uint32_t contents, control;
	uint64_t word = 1;

	(void)unused;
	if (edu_regions(env, dev, &contents, &control))
		return -1;
	OK(vfm_device_region_read(dev, contents, 0, &word, sizeof(word), &env->err));
	REQUIRE(word == 0);
	return 0;
}

static int do_live(struct env *env, struct vfm_device *dev, const char *value)
{
	return edu_reg_write(env, dev, 4, (uint32_t)strtoul(value, NULL, 0));
}

static int do_is_live(struct env *env, struct vfm_device *dev, const char *value)
{
	uint32_t word;

	if (edu_reg_read(env, dev, 4, &word))
		return -1;
	REQUIRE(word == ~(uint32_t)strtoul(value, NULL, 0));
	return 0;
}

static int do_state(struct env *env, struct vfm_device *dev, const char *name)
{
	uint32_t state, now;

	REQUIRE(!vfm_state_from_name(name, &state));
	OK(vfm_device_set_state(dev, state, &now, &env->err));
	return 0;
}

static int do_is(struct env *env, struct vfm_device *dev, const char *name)
{
	uint32_t state;

	REQUIRE(!vfm_state_from_name(name, &state));
	return env_state(env, dev, state);
}

static const struct {
	const char *name;
	int (*run)(struct env *env, struct vfm_device *dev, const char *value);
} actions[] = {
	{ "fill", do_fill },	   { "compare", do_compare }, { "blank", do_blank },	 { "live", do_live },
	{ "is-live", do_is_live }, { "send", mtty_send },     { "expect", mtty_expect }, { "map", do_map },
	{ "pump", do_pump },	   { "pumping", do_pumping }, { "dma", do_dma },	 { "state", do_state },
	{ "is", do_is },
};

static int act(struct env *env, struct vfm_device *dev, char *action)
{
	char *value = strchr(action, '=');

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (!strcmp(actions[i].name, action))
			return actions[i].run(env, dev, value ? value : "");
	printf("# no action '%s'\n", action);
	return -1;
}

static int find_device(struct env *env, const char *where, struct vfm_borrow **borrow, struct vfm_device **dev)
{
	const char *text = getenv("VFIOMIG_DEVICE_0");

	if (strcmp(where, "env")) {
		OK(vfm_borrow_open(env->ctx, where, NULL, borrow, &env->err));
		*dev = vfm_borrow_device(*borrow, 0);
	} else {
		REQUIRE(text);
		OK(vfm_device_adopt_described(env->ctx, text, dev, &env->err));
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct env env = { .err = { .size = sizeof(struct vfm_error) } };
	struct vfm_borrow *borrow = NULL;
	struct vfm_device *dev = NULL;
	const char *sim = getenv("VFIOMIG_SIM");
	char message[256] = "";
	int at = 1, bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2 && !strcmp(argv[1], "--sim")) {
		sim = argv[2];
		at = 3;
	}
	if (argc - at < 2)
		return 2;
	if (sim ? vfm_sim_open(sim, NULL, &env.sim, message, sizeof(message)) || vfm_sim_context(env.sim, &env.ctx)
		: vfm_context_new(&env.ctx)) {
		printf("Bail out! %s\n", message);
		return 1;
	}
	if (find_device(&env, argv[at], &borrow, &dev)) {
		printf("Bail out! no device at %s\n", argv[at]);
		return 1;
	}
	for (int i = at + 1; i < argc && !bad; i++) {
		char what[80];

		snprintf(what, sizeof(what), "%s", argv[i]);
		bad = act(&env, dev, argv[i]);
		printf("%s %d - %s\n", bad ? "not ok" : "ok", i - at, what);
	}
	if (borrow)
		vfm_borrow_close(borrow);
	else
		vfm_device_close(dev);
	env_close_all(&env);
	vfm_context_free(env.ctx);
	vfm_sim_close(env.sim);
	return bad ? 1 : 0;
}
