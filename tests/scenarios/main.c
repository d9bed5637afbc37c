// SPDX-License-Identifier: MIT
/* Runs the scenario table on one machine, TAP on stdout: scenarios [--sim SPEC] [NAME...]. */
#include <unistd.h>

#include "scenario.h"

static const struct scenario *const tables[] = { device_scenarios, control_scenarios, iommu_scenarios,
						 state_scenarios,  session_scenarios, transfer_scenarios,
						 lend_scenarios };

static size_t count_all(void)
{
	size_t n = 0;

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct scenario *s = tables[t]; s->name; s++)
			n++;
	return n;
}

static bool wanted(const char *name, int argc, char **argv)
{
	if (argc == 0)
		return true;
	for (int i = 0; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return false;
}

/* First two devices of each driver, in name order. */
static int note_device(void *user, const struct vfm_candidate *c)
{
	struct env *env = user;
	int base = strstr(c->identity.driver, "edu") ? EDU_A : !strcmp(c->identity.driver, "mtty") ? MTTY_A : -1;

	if (base >= 0 && (c->flags & VFM_CANDIDATE_CDEV)) {
		char *slot = env->names[base][0] ? env->names[base + 1] : env->names[base];

		snprintf(slot, sizeof(env->names[0]), "%s", c->identity.name);
	}
	return 0;
}

static int env_start(struct env *env, const char *sim_spec)
{
	char message[256] = "";
	int r;

	memset(env, 0, sizeof(*env));
	env->err.size = sizeof(env->err);
	r = sim_spec ? vfm_sim_open(NULL, *sim_spec ? sim_spec : NULL, &env->sim, message, sizeof(message)) : 0;
	if (!r)
		r = env->sim ? vfm_sim_context(env->sim, &env->ctx) : vfm_context_new(&env->ctx);
	if (!r)
		r = vfm_discover(env->ctx, note_device, env, &env->err);
	for (int i = 0; !r && i < 4; i++)
		if (!env->names[i][0])
			r = -ENODEV;
	if (r)
		printf("Bail out! machine: %s %s %s\n", strerror(-r), message, env->err.message);
	return r;
}

static void env_stop(struct env *env)
{
	vfm_context_free(env->ctx);
	vfm_sim_close(env->sim);
}

/* A simulated machine may have larger pages than this process; an address space with a device tells. */
static int find_page(const char *sim_spec, uint64_t *ret_page)
{
	struct vfm_iommu_info info = { .size = sizeof(info) };
	struct vfm_device *dev;
	struct env env;
	int r;

	r = env_start(&env, sim_spec);
	if (r)
		return r;
	r = env_open(&env, EDU_A, &dev);
	if (!r)
		r = vfm_iommu_info(vfm_device_iommu(dev), &info, &env.err);
	*ret_page = info.page_sizes & -info.page_sizes;
	if (r || !*ret_page)
		printf("Bail out! machine: its page size is not known: %s\n", env.err.message);
	env_close_all(&env);
	env_stop(&env);
	return r || !*ret_page;
}

/* What must hold after every scenario: nothing left open, no call that a correct program does not make. */
static int check_clean(struct env *env)
{
	struct vfm_sim_usage use = { .size = sizeof(use) };

	if (!env->sim)
		return 0;
	vfm_sim_usage(env->sim, &use);
	if (use.open_fds || use.maps || use.mmaps || use.devices_open || use.data_sessions) {
		printf("# leaked: %u fds, %u maps, %u mmaps, %u devices, %u sessions\n", use.open_fds, use.maps,
		       use.mmaps, use.devices_open, use.data_sessions);
		return -1;
	}
	if (use.strict_errors) {
		printf("# strict: %llu, newest: %s\n", (unsigned long long)use.strict_errors,
		       vfm_sim_strict_message(env->sim));
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *sim = NULL;
	uint64_t page = 0;
	size_t number = 0;
	int failed = 0;
	int at = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > at + 1 && !strcmp(argv[at], "--sim")) {
		sim = argv[at + 1];
		at += 2;
	}
	printf("TAP version 13\n1..%zu\n", count_all());
	if (find_page(sim, &page))
		return 1;
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		for (const struct scenario *s = tables[t]; s->name; s++) {
			struct env env;
			int r;

			number++;
			if (!wanted(s->name, argc - at, argv + at)) {
				printf("ok %zu - %s # SKIP not asked for\n", number, s->name);
				continue;
			}
			if (env_start(&env, sim))
				return 1;
			env.page = page;
			r = s->run(&env);
			env_close_all(&env);
			r = check_clean(&env) || r;
			env_stop(&env);
			printf("%s %zu - %s\n", r ? "not ok" : "ok", number, s->name);
			failed |= r;
		}
	}
	return failed ? 1 : 0;
}
