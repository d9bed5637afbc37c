// SPDX-License-Identifier: MIT
/*
 * vfm-damage [--quick] PROFILE: a stream of two devices with PRE_COPY frames, at most 2 KiB, damaged in every way:
 * every prefix, every byte with all 255 other values (--quick: with three), every frame dropped, doubled, swapped with
 * every other, frames of two streams mixed. Inspection must call each damaged, a restore must leave RESUMING by reset
 * only. TAP on stdout.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <vfiomig.h>
#include <vfiomig/sim.h>

#define STREAM_MAX 2048u
#define HEADER 40u
#define FRAME_HEADER 40u
#define FRAME_LENGTH_AT 12u
#define FRAMES_MAX 64u

struct stream {
	uint8_t bytes[2 * STREAM_MAX];
	size_t length;
	size_t position;
	size_t frames[FRAMES_MAX + 1]; /* offsets; the last one is the end */
	size_t count;
};

static struct vfm_sim *sim;
static struct vfm_context *ctx;
static struct vfm_iommu *iommu;
static struct vfm_device *source[2], *target[2];
static struct stream good, other, bad;
static unsigned long long tried;

static int64_t stream_read(void *user, void *buf, size_t length)
{
	struct stream *s = user;
	size_t n = s->length - s->position < length ? s->length - s->position : length;

	memcpy(buf, s->bytes + s->position, n);
	s->position += n;
	return (int64_t)n;
}

static int stream_write(void *user, const void *buf, size_t length)
{
	struct stream *s = user;

	if (s->length + length > sizeof(s->bytes))
		return -ENOSPC;
	memcpy(s->bytes + s->length, buf, length);
	s->length += length;
	return 0;
}

/* The configuration of a PCI Express device is 4 KiB: only edu's and mtty's are small enough to come along. */
static int save(struct stream *s, bool config)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .flags = VFM_TRANSFER_LIVE | VFM_TRANSFER_NO_P2P };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	struct vfm_error err = { .size = sizeof(err) };
	struct vfm_io io = { .size = sizeof(io), .user = s, .write = stream_write };
	int r;

	memset(s, 0, sizeof(*s));
	if (!config)
		opts.flags |= VFM_TRANSFER_NO_CONFIG;
	r = vfm_save(source, 2, &io, &opts, &result, &err);
	if (r)
		printf("# save: %s\n", err.message);
	for (size_t at = HEADER; !r && at < s->length; s->count++) {
		uint32_t length;

		memcpy(&length, s->bytes + at + FRAME_LENGTH_AT, sizeof(length));
		if (s->count == FRAMES_MAX)
			return -E2BIG;
		s->frames[s->count] = at;
		at += FRAME_HEADER + length;
		s->frames[s->count + 1] = at;
	}
	printf("# %zu bytes, %zu frames, %llu bytes in PRE_COPY\n", s->length, s->count,
	       (unsigned long long)result.precopy_bytes);
	if (!r && (s->length > STREAM_MAX || !result.precopy_bytes)) {
		printf("# not the stream that this test is about\n");
		r = -E2BIG;
	}
	return r;
}

static int restore(struct stream *s, struct vfm_error *err)
{
	struct vfm_transfer_opts opts = { .size = sizeof(opts), .then_state = VFM_STATE_RUNNING };
	struct vfm_transfer_result result = { .size = sizeof(result) };
	static const uint32_t map[] = { 0, 1 };
	struct vfm_io io = { .size = sizeof(io), .user = s, .read = stream_read };

	opts.map = map;
	opts.map_length = 2;
	s->position = 0;
	return vfm_restore(target, 2, &io, &opts, &result, err);
}

static int say(const char *what, int value, const struct vfm_error *err)
{
	printf("# %s: %d %s\n", what, value, err->message);
	return -1;
}

/* The stream in `bad` must be refused by both readers, and no target may have left RESUMING but by reset. */
static int refused(void)
{
	struct vfm_io io = { .size = sizeof(io), .user = &bad, .read = stream_read };
	struct vfm_stream_summary summary = { .size = sizeof(summary) };
	struct vfm_sim_usage before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct vfm_error err = { .size = sizeof(err) };
	uint32_t state;
	int r;

	tried++;
	bad.position = 0;
	r = vfm_stream_inspect(ctx, &io, NULL, NULL, &summary, &err);
	if (r != -EBADMSG)
		return say("inspection", r, &err);
	vfm_sim_usage(sim, &before);
	r = restore(&bad, &err);
	vfm_sim_usage(sim, &after);
	if (r >= 0)
		return say("a damaged stream was loaded", r, &err);
	if (after.loads != before.loads)
		return say("RESUMING was left by an arc", r, &err);
	if ((after.resets != before.resets) != ((err.flags & VFM_ERROR_WAS_RESET) != 0))
		return say("says of resets what is not so", (int)(after.resets - before.resets), &err);
	for (int i = 0; i < 2; i++)
		if (vfm_device_get_state(target[i], &state, NULL) || state != VFM_STATE_RUNNING)
			return say("a target is not RUNNING", (int)state, &err);
	if (after.strict_errors)
		return say(vfm_sim_strict_message(sim), r, &err);
	return 0;
}

static int prefixes(void)
{
	for (size_t n = 0; n < good.length; n++) {
		bad = good;
		bad.length = n;
		if (refused())
			return say("prefix of length", (int)n, &(struct vfm_error){ .size = 0 });
	}
	return 0;
}

static int bytes(bool quick)
{
	static const uint8_t three[] = { 0x01, 0x80, 0xff };

	for (size_t at = 0; at < good.length; at++) {
		for (unsigned int i = 0; i < (quick ? 3u : 255u); i++) {
			bad = good;
			bad.bytes[at] ^= quick ? three[i] : (uint8_t)(i + 1);
			if (refused())
				return say("byte", (int)at, &(struct vfm_error){ .size = 0 });
		}
	}
	return 0;
}

static void append(const struct stream *from, size_t frame)
{
	size_t at = from->frames[frame], length = from->frames[frame + 1] - at;

	memcpy(bad.bytes + bad.length, from->bytes + at, length);
	bad.length += length;
}

static void begin(void)
{
	memset(&bad, 0, sizeof(bad));
	memcpy(bad.bytes, good.bytes, HEADER);
	bad.length = HEADER;
}

static int dropped(void)
{
	for (size_t gone = 0; gone < good.count; gone++) {
		begin();
		for (size_t i = 0; i < good.count; i++)
			if (i != gone)
				append(&good, i);
		if (refused())
			return say("dropped", (int)gone, &(struct vfm_error){ .size = 0 });
	}
	return 0;
}

static int doubled(void)
{
	for (size_t twice = 0; twice < good.count; twice++) {
		begin();
		for (size_t i = 0; i < good.count; i++) {
			append(&good, i);
			if (i == twice)
				append(&good, i);
		}
		if (refused())
			return say("doubled", (int)twice, &(struct vfm_error){ .size = 0 });
	}
	return 0;
}

static int swapped(void)
{
	for (size_t a = 0; a < good.count; a++) {
		for (size_t b = a + 1; b < good.count; b++) {
			begin();
			for (size_t i = 0; i < good.count; i++)
				append(&good, i == a ? b : i == b ? a : i);
			if (refused())
				return say("swapped", (int)(a * 100 + b), &(struct vfm_error){ .size = 0 });
		}
	}
	return 0;
}

/* Each frame replaced by the same one of another stream of the same devices, and all from there on. */
static int mixed(void)
{
	if (other.count != good.count)
		return say("the two streams differ in frames", (int)other.count, &(struct vfm_error){ .size = 0 });
	for (size_t at = 0; at < good.count; at++) {
		for (int rest = 0; rest < 2; rest++) {
			begin();
			for (size_t i = 0; i < good.count; i++)
				append(i == at || (rest && i > at) ? &other : &good, i);
			if (refused())
				return say("mixed", (int)at, &(struct vfm_error){ .size = 0 });
		}
	}
	return 0;
}

static int whole(void)
{
	struct vfm_error err = { .size = sizeof(err) };
	int r;

	bad = good;
	r = restore(&bad, &err);
	return r ? say("the undamaged stream", r, &err) : 0;
}

/* Small enough for two devices in 2 KiB. */
static const char *size_of(const char *profile)
{
	return !strcmp(profile, "hisi_acc") ? "" : ",state=64";
}

static int open_devices(const char *profile)
{
	char spec[256], message[256] = "", name[64];
	struct vfm_error err = { .size = sizeof(err) };
	int r;

	if (!strcmp(profile, "mtty"))
		snprintf(spec, sizeof(spec),
			 "mtty@6d747479-0000-4000-8000-000000000001;"
			 "mtty@6d747479-0000-4000-8000-000000000002;"
			 "mtty@6d747479-0000-4000-8000-000000000003;"
			 "mtty@6d747479-0000-4000-8000-000000000004");
	else
		snprintf(spec, sizeof(spec), "%s@0000:01:00.0%s;%s@0000:02:00.0%s;%s@0000:03:00.0%s;%s@0000:04:00.0%s",
			 profile, size_of(profile), profile, size_of(profile), profile, size_of(profile), profile,
			 size_of(profile));
	r = vfm_sim_open(NULL, spec, &sim, message, sizeof(message));
	if (!r)
		r = vfm_sim_context(sim, &ctx);
	if (!r)
		r = vfm_iommu_open(ctx, NULL, &iommu, &err);
	for (int i = 0; i < 4 && !r; i++) {
		snprintf(name, sizeof(name), "0000:0%d:00.0", i + 1);
		if (!strcmp(profile, "mtty"))
			snprintf(name, sizeof(name), "6d747479-0000-4000-8000-00000000000%d", i + 1);
		r = vfm_device_open_attached(ctx, name, iommu, i < 2 ? &source[i] : &target[i - 2], &err);
	}
	if (r)
		printf("Bail out! %s: %s %s\n", spec, message, err.message);
	return r;
}

static void close_devices(void)
{
	for (int i = 0; i < 2; i++) {
		vfm_device_close(source[i]);
		vfm_device_close(target[i]);
	}
	vfm_iommu_close(iommu);
	vfm_context_free(ctx);
	vfm_sim_close(sim);
}

static long resident_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

static int report(int number, int r, const char *what)
{
	printf("%s %d - %s\n", r ? "not ok" : "ok", number, what);
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	bool quick = argc == 3 && !strcmp(argv[1], "--quick");
	const char *profile = argv[argc - 1];
	int bad_ones = 0;
	bool config;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 2 && !quick)
		return 2;
	printf("TAP version 13\n1..8\n");
	config = !strcmp(profile, "edu") || !strcmp(profile, "mtty");
	if (open_devices(profile) || save(&good, config) || save(&other, config)) {
		printf("Bail out! no stream\n");
		return 1;
	}
	bad_ones += report(1, whole(), "the whole stream is loaded");
	bad_ones += report(2, prefixes(), "every prefix is refused");
	bad_ones += report(3, dropped(), "every dropped frame is noticed");
	bad_ones += report(4, doubled(), "every doubled frame is noticed");
	bad_ones += report(5, swapped(), "every swap of two frames is noticed");
	bad_ones += report(6, mixed(), "frames of two streams do not mix");
	bad_ones += report(7, bytes(quick), "every changed byte is noticed");
	printf("# %llu damaged streams, resident %ld KiB\n", tried, resident_kib());
	bad_ones += report(8, whole(), "the whole stream is loaded after all that");
	close_devices();
	return bad_ones ? 1 : 0;
}
