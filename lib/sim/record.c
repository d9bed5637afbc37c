/* SPDX-License-Identifier: MIT */
/* Framing by records, as mlx5 and virtio do it. */
#include "record.h"
#include "wire.h"

#define MAX_LOAD ((1ull << 32) - 1)

void vfmi_sim_record_put(uint8_t *out, uint64_t size, uint32_t flags, uint32_t tag)
{
	vfmi_put_le64(out, size);
	vfmi_put_le32(out + 8, flags);
	vfmi_put_le32(out + 12, tag);
}

void vfmi_sim_record_want(struct sim_session *session)
{
	vfmi_sim_want(session, SIM_RECORD_HEAD, 0, SIM_RECORD_BYTES);
}

int vfmi_sim_record_begin(struct sim_session *session, uint32_t tag)
{
	uint64_t size = vfmi_get_le64(session->in);
	uint32_t flags = vfmi_get_le32(session->in + 8), found = vfmi_get_le32(session->in + 12);

	if (size > MAX_LOAD)
		return -ENOMEM;
	if (found == SIM_RECORD_STATE)
		return SIM_RECORD_IS_STATE;
	if (found != tag && !(flags & SIM_RECORD_OPTIONAL))
		return -EOPNOTSUPP;
	vfmi_sim_want(session, SIM_RECORD_SKIPPED, 0, size);
	session->skip = 1;
	if (!size)
		vfmi_sim_record_want(session);
	return 0;
}
