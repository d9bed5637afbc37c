/* SPDX-License-Identifier: MIT */
/* Frame types and their order, as one table and a small machine over it. Pure: sums and sequence are the reader's. */
#include "stream-format.h"

#include "wire.h"

/* Where the frames of one device are: pre-copy DATA, then stop-copy DATA, then DEVICE_END, then at most one CONFIG. */
enum device_step {
	DEVICE_PRE_COPY = 0,
	DEVICE_STOP_COPY,
	DEVICE_COMPLETE,
	DEVICE_CONFIGURED,
};

static int refuse(struct vfmi_stream_order *order, const char *why)
{
	order->why = why;
	return -EBADMSG;
}

static int take_info(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const uint8_t *payload)
{
	struct vfm_stream_summary info = { .size = sizeof(info) };
	int r = vfmi_records_get_info(payload, frame->length, &info);

	if (r == -EPROTONOSUPPORT)
		order->why = "INFO holds a mandatory record this version does not know";
	else if (r < 0)
		order->why = "the records of INFO are malformed";
	else
		order->announced = info.devices;

	return r;
}

static int take_device(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const uint8_t *payload)
{
	(void)payload;

	if (order->devices == order->announced)
		return refuse(order, "there are more devices than INFO announced");
	if (frame->device != order->devices)
		return refuse(order, "device indexes do not count up from 0");

	order->devices++;
	return 0;
}

static int take_devices_end(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const uint8_t *payload)
{
	(void)frame;
	(void)payload;

	if (order->devices != order->announced)
		return refuse(order, "there are fewer devices than INFO announced");

	return 0;
}

static int take_data(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const uint8_t *payload)
{
	const bool stop_copy = frame->flags & VFMI_FRAME_STOP_COPY;

	(void)payload;

	if (frame->device >= order->devices)
		return refuse(order, "data of a device that was not announced");
	if (order->device_step[frame->device] >= DEVICE_COMPLETE)
		return refuse(order, "data of a device that was complete");
	if (order->device_step[frame->device] == DEVICE_STOP_COPY && !stop_copy)
		return refuse(order, "pre-copy data after stop-copy data of the same device");

	order->device_step[frame->device] = stop_copy ? DEVICE_STOP_COPY : DEVICE_PRE_COPY;
	order->bytes[frame->device][stop_copy] += frame->length;
	order->chunks[frame->device]++;
	return 0;
}

static int take_device_end(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const uint8_t *payload)
{
	if (frame->device >= order->devices)
		return refuse(order, "end of a device that was not announced");
	if (order->device_step[frame->device] >= DEVICE_COMPLETE)
		return refuse(order, "the device was complete already");
	if (vfmi_get_le64(payload) != order->bytes[frame->device][0] + order->bytes[frame->device][1])
		return refuse(order, "the bytes of the device do not add up");
	if (vfmi_get_le64(payload + 8) != order->chunks[frame->device])
		return refuse(order, "the chunks of the device do not add up");

	order->device_step[frame->device] = DEVICE_COMPLETE;
	return 0;
}

static int take_config(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const uint8_t *payload)
{
	(void)payload;

	if (frame->device >= order->devices)
		return refuse(order, "configuration of a device that was not announced");
	if (order->device_step[frame->device] < DEVICE_COMPLETE)
		return refuse(order, "configuration of a device that is not complete");
	if (order->device_step[frame->device] == DEVICE_CONFIGURED)
		return refuse(order, "the device had its configuration already");

	order->device_step[frame->device] = DEVICE_CONFIGURED;
	order->config_bytes[frame->device] = frame->length;
	return 0;
}

static int take_blob(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const uint8_t *payload)
{
	(void)payload;

	if (frame->length > VFM_STREAM_MAX_BLOB - order->blob_bytes)
		return refuse(order, "the caller's blob is too long");

	order->blob_bytes += frame->length;
	return 0;
}

static int take_end(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const uint8_t *payload)
{
	(void)frame;
	(void)payload;

	for (uint32_t i = 0; i < order->devices; i++) {
		if (order->device_step[i] < DEVICE_COMPLETE)
			return refuse(order, "the stream ends before a device is complete");
	}

	return 0;
}

#define AT(step) (1u << VFMI_ORDER_##step)

/* clang-format off */
static const struct vfmi_frame_rule rules[] = {
	[VFMI_FRAME_INFO] = {
		.name = "INFO", .min = 1, .max = VFMI_MAX_META,
		.steps = AT(START), .next = VFMI_ORDER_DEVICES, .take = take_info },
	[VFMI_FRAME_DEVICE] = {
		.name = "DEVICE", .device = true, .max = VFMI_MAX_META,
		.steps = AT(DEVICES), .next = VFMI_ORDER_DEVICES, .take = take_device },
	[VFMI_FRAME_DEVICES_END] = {
		.name = "DEVICES_END",
		.steps = AT(DEVICES), .next = VFMI_ORDER_STATE, .take = take_devices_end },
	[VFMI_FRAME_DATA] = {
		.name = "DATA", .device = true, .min = 1, .max = VFM_STREAM_MAX_CHUNK, .flags = VFMI_FRAME_STOP_COPY,
		.steps = AT(STATE), .next = VFMI_ORDER_STATE, .take = take_data },
	[VFMI_FRAME_DEVICE_END] = {
		.name = "DEVICE_END", .device = true, .min = 16, .max = 16,
		.steps = AT(STATE), .next = VFMI_ORDER_STATE, .take = take_device_end },
	[VFMI_FRAME_CONFIG] = {
		.name = "CONFIG", .device = true, .min = 1, .max = VFMI_MAX_META,
		.steps = AT(STATE), .next = VFMI_ORDER_STATE, .take = take_config },
	[VFMI_FRAME_BLOB] = {
		.name = "BLOB", .min = 1, .max = VFMI_MAX_BLOB_CHUNK,
		.steps = AT(STATE), .next = VFMI_ORDER_STATE, .take = take_blob },
	[VFMI_FRAME_END] = {
		.name = "END", .min = VFMI_DIGEST + 8, .max = VFMI_DIGEST + 8,
		.steps = AT(STATE), .next = VFMI_ORDER_ENDED, .take = take_end },
	[VFMI_FRAME_ABORT] = {
		.name = "ABORT", .max = VFMI_MAX_TEXT,
		.steps = AT(DEVICES) | AT(STATE), .next = VFMI_ORDER_CLOSED },
	[VFMI_FRAME_GIVEN_UP] = {
		.name = "GIVEN_UP", .stream_flags = VFM_STREAM_DUPLEX,
		.steps = AT(ENDED), .next = VFMI_ORDER_CLOSED },
	[VFMI_FRAME_KEPT] = {
		.name = "KEPT", .stream_flags = VFM_STREAM_DUPLEX, .max = VFMI_MAX_TEXT,
		.steps = AT(ENDED), .next = VFMI_ORDER_CLOSED },

	[VFMI_FRAME_HELLO] = {
		.name = "HELLO", .stream_flags = VFM_STREAM_DUPLEX, .min = 8, .max = 8,
		.steps = AT(REPLY), .next = VFMI_ORDER_REPLY_MATCH },
	[VFMI_FRAME_ACCEPT] = {
		.name = "ACCEPT", .stream_flags = VFM_STREAM_DUPLEX,
		.steps = AT(REPLY_MATCH), .next = VFMI_ORDER_REPLY_LOAD },
	[VFMI_FRAME_REFUSE] = {
		.name = "REFUSE", .stream_flags = VFM_STREAM_DUPLEX, .min = 4, .max = 4 + VFMI_MAX_TEXT,
		.steps = AT(REPLY_MATCH), .next = VFMI_ORDER_CLOSED },
	[VFMI_FRAME_LOADED] = {
		.name = "LOADED", .stream_flags = VFM_STREAM_DUPLEX,
		.steps = AT(REPLY_LOAD), .next = VFMI_ORDER_REPLY_LOADED },
	[VFMI_FRAME_FAILED] = {
		.name = "FAILED", .stream_flags = VFM_STREAM_DUPLEX, .min = 4, .max = 4 + VFMI_MAX_TEXT,
		.steps = AT(REPLY_LOAD), .next = VFMI_ORDER_CLOSED },
	[VFMI_FRAME_STARTED] = {
		.name = "STARTED", .stream_flags = VFM_STREAM_DUPLEX,
		.steps = AT(REPLY_LOADED), .next = VFMI_ORDER_CLOSED },
};
/* clang-format on */

const struct vfmi_frame_rule *vfmi_frame_rule(uint32_t type)
{
	return type < VFMI_ARRAY_SIZE(rules) && rules[type].name ? &rules[type] : NULL;
}

const char *vfmi_frame_name(uint32_t type)
{
	const struct vfmi_frame_rule *rule = vfmi_frame_rule(type);

	return rule ? rule->name : "unknown";
}

static int check_unknown(const struct vfmi_frame *frame, const char **ret_why)
{
	if (!(frame->flags & VFMI_FRAME_OPTIONAL)) {
		*ret_why = "a mandatory frame type this version does not know";
		return -EPROTONOSUPPORT;
	}
	if (frame->length > VFM_STREAM_MAX_CHUNK) {
		*ret_why = "the payload is too long";
		return -EBADMSG;
	}

	return 0;
}

int vfmi_frame_check(const struct vfmi_frame *frame, uint32_t stream_flags, const char **ret_why)
{
	const struct vfmi_frame_rule *rule = vfmi_frame_rule(frame->type);

	if (!rule)
		return check_unknown(frame, ret_why);
	if (frame->flags & ~rule->flags) {
		*ret_why = "frame flags this version does not know";
		return -EPROTONOSUPPORT;
	}

	if (rule->stream_flags & ~stream_flags)
		*ret_why = "a frame of duplex streams in one that is not";
	else if (rule->device ? frame->device >= VFM_STREAM_MAX_DEVICES : frame->device != VFMI_NO_DEVICE)
		*ret_why = "a device index this frame cannot have";
	else if (frame->length < rule->min || frame->length > rule->max)
		*ret_why = "a payload length this frame cannot have";
	else
		return 0;

	return -EBADMSG;
}

int vfmi_stream_order_next(struct vfmi_stream_order *order, const struct vfmi_frame *frame, const void *payload)
{
	const struct vfmi_frame_rule *rule = vfmi_frame_rule(frame->type);

	if (!rule || order->step > VFMI_ORDER_REPLY_LOADED || !(rule->steps & (1u << order->step)))
		return refuse(order, "a frame that cannot stand here");

	int r = rule->take ? rule->take(order, frame, payload) : 0;

	if (r == 0)
		order->step = rule->next;

	return r;
}
