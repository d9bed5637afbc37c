/* SPDX-License-Identifier: MIT */
/* IOVAs that the platform reserves in an IOMMU group, as sysfs lists them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

#define TEXT_ROOM 16384u /* lines of at most 60 bytes; sysfs shows a page */

/* "0x00000000fee00000 0x00000000feefffff msi" */
static bool parse_line(const char *line, size_t length, struct vfm_reserved *ret)
{
	struct vfm_reserved region = { .size = sizeof(region) };
	char text[96];

	if (length >= sizeof(text))
		return false;
	memcpy(text, line, length);
	text[length] = '\0';
	if (sscanf(text, "0x%16" SCNx64 " 0x%16" SCNx64 " %23s", &region.first, &region.last, region.kind) != 3 ||
	    region.first > region.last)
		return false;
	vfmi_make_printable(region.kind);
	if (!strcmp(region.kind, "direct-relaxable"))
		region.flags = VFM_RESERVED_MAPPABLE;
	*ret = region;
	return true;
}

/* Return: 0, -EMSGSIZE, -EPROTO. */
static int parse(const char *text, struct vfm_reserved *ret, size_t room, size_t *ret_count)
{
	struct vfm_reserved region;
	size_t count = 0;

	while (*text) {
		size_t length = strcspn(text, "\n");

		if (!parse_line(text, length, &region))
			return -EPROTO;
		if (count < room && vfmi_sized_out(&ret[count], &region, sizeof(region)) < 0)
			return -EINVAL;
		count++;
		text += length + (text[length] == '\n');
	}
	*ret_count = count;
	return count > room ? -EMSGSIZE : 0;
}

int vfm_iova_reserved(struct vfm_context *ctx, uint32_t group, struct vfm_reserved *ret, size_t room, size_t *ret_count,
		      struct vfm_error *ret_error)
{
	char *text = malloc(TEXT_ROOM);
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%" PRIu32 "/reserved_regions", group);
	r = text ? vfmi_sys_read_file(ctx->sys, path, text, TEXT_ROOM) : -ENOMEM;
	if (r >= 0)
		r = parse(text, ret, room, ret_count);
	free(text);
	if (r == -ENOENT)
		r = -ENODEV;
	if (r < 0)
		return VFMI_FAIL(ctx, ret_error, -r, NULL, "reserved regions", "%s: %s", path, vfmi_errno_text(-r));
	return 0;
}
