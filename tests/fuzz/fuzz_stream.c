/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of everything that reads a stream: inspection, records, verdicts, matching.
 *
 * The first byte of an input says what it is: even, the bytes of a stream; odd, a recipe for one, whose sums are made
 * right here so that the checks behind them are reached. Built with clang -fsanitize=fuzzer it is a libFuzzer target
 * (-DVFMI_LIBFUZZER); else a program that takes files and directories of inputs, or makes up its own from a seed.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "stream-format.h"
#include "wire.h"

#define STREAM_ID 0x6675777a7a646174u
#define INPUT_MAX (64u * 1024u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

/* What must hold whatever the input is; the fuzzer's only way to say that it does not. */
static void must(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_stream: %s\n", what);
		abort();
	}
}

/* A channel over the input; gives it in pieces of changing size. */
struct input {
	const uint8_t *bytes;
	size_t length;
	size_t at;
};

static int64_t input_read(void *user, void *buf, size_t length)
{
	struct input *in = user;
	const size_t piece = 1 + (in->at * 7) % 61;

	must(length <= VFM_STREAM_MAX_CHUNK, "a read of more than a chunk");
	if (length > piece)
		length = piece;
	if (length > in->length - in->at)
		length = in->length - in->at;
	if (length)
		memcpy(buf, in->bytes + in->at, length);
	in->at += length;
	return (int64_t)length;
}

static bool is_text(const char *text, size_t room)
{
	size_t i = 0;

	while (i < room && text[i] >= ' ' && text[i] <= '~')
		i++;

	return i < room && text[i] == '\0';
}

static void check_identity(const struct vfm_identity *identity)
{
	must(is_text(identity->name, sizeof(identity->name)), "a name that is no text");
	must(is_text(identity->driver, sizeof(identity->driver)), "a driver that is no text");
	must(is_text(identity->mdev_type, sizeof(identity->mdev_type)), "an mdev type that is no text");
	must(is_text(identity->firmware, sizeof(identity->firmware)), "a firmware that is no text");
	must(is_text(identity->kernel, sizeof(identity->kernel)), "a kernel that is no text");
}

static int check_device(void *user, const struct vfm_stream_device *device)
{
	struct vfm_identity *first = user;
	int r;

	must(device->index < VFM_STREAM_MAX_DEVICES, "too many devices");
	check_identity(device->identity);
	if (device->index == 0)
		*first = *device->identity;
	r = vfm_match(first, device->identity, NULL, NULL);
	must(r == 0 || r == -EREMOTEIO, "a match that is neither yes nor no");
	return 0;
}

static int inspect(const uint8_t *bytes, size_t length)
{
	struct input in = { .bytes = bytes, .length = length };
	const struct vfm_io io = { .size = sizeof(io), .user = &in, .read = input_read };
	struct vfm_stream_summary summary = { .size = sizeof(summary) };
	struct vfm_error error = { .size = sizeof(error) };
	struct vfm_identity first = { .size = sizeof(first) };
	const int r = vfm_stream_inspect(NULL, &io, check_device, &first, &summary, &error);

	must(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT, "an error nobody expects");
	must(r == 0 || is_text(error.message, sizeof(error.message)), "a message that is no text");
	must(is_text(summary.producer, sizeof(summary.producer)), "a producer that is no text");
	must(is_text(summary.kernel, sizeof(summary.kernel)), "a kernel that is no text");
	must(r < 0 || in.at == length, "bytes left behind a sound stream");
	return r;
}

/* What decodes must encode to the same. */
static void records(const uint8_t *bytes, size_t length)
{
	struct vfm_identity identity, again;
	char text[64];
	uint8_t buf[1024];
	uint64_t size, size_again;

	if (vfmi_records_get_identity(bytes, length, &identity, &size) == 0) {
		check_identity(&identity);
		const int n = vfmi_records_put_identity(buf, sizeof(buf), &identity, size);

		must(n >= 0 && vfmi_records_get_identity(buf, (size_t)n, &again, &size_again) == 0, "no way back");
		must(memcmp(&identity, &again, sizeof(again)) == 0 && size == size_again, "another way back");
	}

	must(vfmi_records_get_verdict(bytes, length, text, sizeof(text)) > 0, "a verdict without errno");
	must(is_text(text, sizeof(text)), "a verdict that is no text");
}

struct recipe {
	uint8_t *out;
	size_t at;
	XXH3_state_t *digest;
	uint64_t sequence;
};

static void put_stream_header(struct recipe *recipe, uint32_t flags)
{
	uint8_t *raw = recipe->out;

	memcpy(raw, VFMI_STREAM_MAGIC, 8);
	memset(raw + 8, 0, 24);
	vfmi_put_le16(raw + 8, VFMI_STREAM_MAJOR);
	vfmi_put_le32(raw + 12, flags);
	vfmi_put_le64(raw + 16, STREAM_ID);
	vfmi_put_le16(raw + 24, VFMI_STREAM_OLDEST);
	vfmi_put_le64(raw + 32, XXH3_64bits(raw, 32));
	XXH3_128bits_update(recipe->digest, raw, VFMI_STREAM_HEADER);
	recipe->at = VFMI_STREAM_HEADER;
}

static void put_frame(struct recipe *recipe, uint32_t type, uint32_t flags, uint32_t device, const uint8_t *payload,
		      uint32_t length)
{
	uint8_t *raw = recipe->out + recipe->at;

	vfmi_put_le32(raw, type);
	vfmi_put_le32(raw + 4, flags);
	vfmi_put_le32(raw + 8, device);
	vfmi_put_le32(raw + 12, length);
	vfmi_put_le64(raw + 16, recipe->sequence++);
	vfmi_put_le64(raw + 24, vfmi_stream_sum(STREAM_ID, payload, length));
	vfmi_put_le64(raw + 32, vfmi_stream_sum(STREAM_ID, raw, 32));
	memcpy(raw + VFMI_FRAME_HEADER, payload, length);
	XXH3_128bits_update(recipe->digest, raw, VFMI_FRAME_HEADER);
	recipe->at += VFMI_FRAME_HEADER + length;
}

static void put_end(struct recipe *recipe)
{
	const XXH128_hash_t digest = XXH3_128bits_digest(recipe->digest);
	uint8_t payload[VFMI_DIGEST + 8];

	vfmi_put_le64(payload, digest.low64);
	vfmi_put_le64(payload + 8, digest.high64);
	vfmi_put_le64(payload + VFMI_DIGEST, recipe->sequence);
	put_frame(recipe, VFMI_FRAME_END, 0, VFMI_NO_DEVICE, payload, sizeof(payload));
}

/* A frame is three bytes of input (type, flags and device, length) and its payload. A type of END has a right digest.
 */
static size_t cook_frame(struct recipe *recipe, const uint8_t *data, size_t length)
{
	const uint32_t type = data[0] & 63;
	const uint32_t device = data[1] >> 4 == 15 ? VFMI_NO_DEVICE : data[1] >> 4;
	const uint32_t payload = data[2] < length - 3 ? data[2] : (uint32_t)(length - 3);

	if (type == VFMI_FRAME_END && data[0] & 64)
		put_end(recipe);
	else
		put_frame(recipe, type, data[1] & 15, device, data + 3, payload);

	return 3 + payload;
}

static int cook(const uint8_t *data, size_t length)
{
	struct recipe recipe = { .out = malloc(VFMI_STREAM_HEADER + length * 24), .digest = XXH3_createState() };

	must(recipe.out && recipe.digest, "no memory");
	XXH3_128bits_reset(recipe.digest);
	put_stream_header(&recipe, data[0] >> 1 & VFMI_STREAM_FLAGS);
	for (size_t at = 1; at + 3 <= length;)
		at += cook_frame(&recipe, data + at, length - at);

	const int r = inspect(recipe.out, recipe.at);

	XXH3_freeState(recipe.digest);
	free(recipe.out);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	if (length == 0 || length > INPUT_MAX)
		return 0;

	if (data[0] & 1)
		cook(data, length);
	else
		inspect(data + 1, length - 1);
	records(data + 1, length - 1);
	return 0;
}

#ifndef VFMI_LIBFUZZER

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* A recipe of a sound stream of one device; mutants of it get further than noise does. */
/* clang-format off */
static const uint8_t sound[] = {
	0x05,                                   /* a recipe, duplex */
	1, 0xf0, 20,                            /* INFO */
	3, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	4, 0, 4, 0, 1, 0, 0, 0,
	2, 0x00, 8, 17, 0, 4, 0, 'm', 't', 't', 'y', /* DEVICE */
	3, 0xf0, 0,                             /* DEVICES_END */
	4, 0x02, 4, 'd', 'a', 't', 'a',         /* DATA */
	5, 0x00, 16,                            /* DEVICE_END */
	4, 0, 0, 0, 0, 0, 0, 0,
	1, 0, 0, 0, 0, 0, 0, 0,
	6, 0x00, 36,                            /* CONFIG: of a device that is not PCI, one vector armed */
	'V', 'F', 'M', 'C', 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 36, 0, 0, 0,
	3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,
	7, 0xf0, 1, 'b',                        /* BLOB */
	64 | 8, 0xf0, 0,                        /* END */
	10, 0xf0, 0,                            /* GIVEN_UP */
};
/* clang-format on */

static void run_mutants(uint64_t seed, uint64_t count)
{
	uint64_t state = seed ? seed : 1;
	uint8_t input[sizeof(sound)];

	must(cook(sound, sizeof(sound)) == 0, "the sound recipe is not sound");
	printf("fuzz_stream: %" PRIu64 " inputs from seed %" PRIu64 "\n", count, seed);
	for (uint64_t i = 0; i < count; i++) {
		memcpy(input, sound, sizeof(input));
		for (uint64_t hits = next_random(&state) % 6; hits; hits--)
			input[next_random(&state) % sizeof(input)] = (uint8_t)next_random(&state);
		LLVMFuzzerTestOneInput(input,
				       next_random(&state) % 4 ? sizeof(input) : next_random(&state) % sizeof(input));
	}
}

static int run_file(const char *path)
{
	static uint8_t input[INPUT_MAX];
	FILE *file = fopen(path, "rb");

	if (!file) {
		perror(path);
		return EXIT_FAILURE;
	}

	LLVMFuzzerTestOneInput(input, fread(input, 1, sizeof(input), file));
	fclose(file);
	return EXIT_SUCCESS;
}

static int run_path(const char *path)
{
	DIR *directory = opendir(path);
	int r = EXIT_SUCCESS;

	if (!directory)
		return run_file(path);

	for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
		char name[4096];

		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >= (int)sizeof(name) || run_file(name))
			r = EXIT_FAILURE;
	}

	closedir(directory);
	return r;
}

int main(int argc, char **argv)
{
	int r = EXIT_SUCCESS;

	if (argc == 4 && strcmp(argv[1], "--seed") == 0) {
		run_mutants(strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0));
		return EXIT_SUCCESS;
	}
	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE|DIRECTORY... | --seed SEED COUNT\n", argv[0]);
		return 2;
	}

	for (int i = 1; i < argc; i++)
		r |= run_path(argv[i]);
	return r;
}

#endif
