/* SPDX-License-Identifier: MIT */
/* VF tokens: the secret that the user of a physical function shares with those of its virtual functions. */
#include "spaces.h"
#include "uapi/vfio.h"

#define TOKEN_TEXT 36u

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", bytes in the order they are written. */
static bool parse_token(const char *text, uint8_t token[16])
{
	uint32_t i, digits = 0;

	for (i = 0; i < TOKEN_TEXT; i++) {
		int value = hex(text[i]);

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return false;
			continue;
		}
		if (value < 0)
			return false;
		token[digits / 2] = (uint8_t)(digits % 2 ? token[digits / 2] | value : value << 4);
		digits++;
	}
	return true;
}

static void keep_token(struct sim_device *pf, const uint8_t *token)
{
	memcpy(pf->vf_token, token, sizeof(pf->vf_token));
	pf->has_token = 1;
}

/* One of its virtual functions is open. */
static bool has_users(const struct vfm_sim *sim, const struct sim_device *pf)
{
	uint32_t i;

	for (i = 0; i < sim->machine->devices; i++)
		if (sim->machine->device[i].bound && !strcmp(sim->machine->device[i].pf, pf->name))
			return true;
	return false;
}

/* What a device says to a token, or to none, when it is opened. A token nobody set is random. */
int vfmi_sim_token_check(struct vfm_sim *sim, struct sim_device *dev, const uint8_t *token)
{
	struct sim_device *pf = dev->pf[0] ? vfmi_sim_find(sim, dev->pf) : dev->sriov ? dev : NULL;
	bool matches;

	if (!pf || !(pf->flags & SIM_DEVICE_VFIO))
		return token ? -EINVAL : 0;
	matches = token && pf->has_token && !memcmp(token, pf->vf_token, sizeof(pf->vf_token));
	if (pf != dev || has_users(sim, pf))
		return matches ? 0 : -EACCES;
	if (token)
		keep_token(pf, token);
	return 0;
}

/* Never told again: who has the device next could read it. */
int vfmi_sim_set_token(struct sim_device *dev, const struct vfio_device_feature *feature)
{
	int r = vfmi_sim_feature_op(feature, VFIO_DEVICE_FEATURE_SET, sizeof(dev->vf_token));

	if (r != 1)
		return r;
	keep_token(dev, feature->data);
	return 0;
}

int vfmi_sim_name_options(struct vfm_sim *sim, struct sim_device *dev, const char *text)
{
	static const char option[] = "vf_token=";
	uint8_t token[16] = { 0 };
	bool given = false;

	while (*text) {
		if (*text == ' ') {
			text++;
			continue;
		}
		if (given || strncmp(text, option, sizeof(option) - 1) ||
		    strlen(text) < sizeof(option) - 1 + TOKEN_TEXT || !parse_token(text + sizeof(option) - 1, token))
			return -EINVAL;
		given = true;
		text += sizeof(option) - 1 + TOKEN_TEXT;
	}
	return vfmi_sim_quirk(dev, SIM_MDEV) ? 0 : vfmi_sim_token_check(sim, dev, given ? token : NULL);
}
