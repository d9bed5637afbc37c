/* SPDX-License-Identifier: MIT */
/*
 * A VMM in miniature: a guest of one vCPU and a device that writes to its RAM, moved to another process while both run.
 *
 *	minivmm destination DEVICE unix:SOCKET [POKE|PEEK]...
 *	minivmm source|source-ring DEVICE unix:SOCKET [POKE|PEEK]...
 *
 * What the vCPU writes comes out of KVM's bitmap, or out of its dirty ring.
 * POKE "REGION:OFFSET=VALUE" writes 8 bytes to the device before the source runs, PEEK "REGION:OFFSET" prints them at
 * the end; how a device is made to do DMA is its own affair. RAM goes over the socket first, page by page, in rounds,
 * then the stream of the device with the vCPU as its blob, then the verdict comes back. Needs /dev/kvm.
 */
#define _DEFAULT_SOURCE /* anonymous memory, pthreads and time beside the C standard */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <vfiomig.h>
#include <vfiomig/transport.h>

#include "minivmm-kvm.h"

#define RAM_BYTES (8u << 20)
#define PAGES (RAM_BYTES / PAGE_BYTES)
#define WORDS (PAGES / 64)
#define ROUNDS 40
#define ROUND_MS 5
#define RUN_MS 500
#define END_OF_RAM UINT64_MAX

struct vmm {
	uint8_t *ram;
	uint64_t dirty[WORDS]; /* of guest pages, since they were sent: by the devices and by the vCPU */
	struct vfm_context *ctx;
	struct vfm_iommu *iommu;
	struct vfm_device *dev;
	struct vfm_tracker *tracker;
	struct vfm_endpoint *endpoint;
	const struct vfm_io *io;
	struct guest guest;
	struct vfm_error error;
	uint64_t pages_sent;
};

static int fail(struct vmm *vmm, int r, const char *what)
{
	if (r < 0 && !vmm->error.message[0])
		snprintf(vmm->error.message, sizeof(vmm->error.message), "%s: %s", what, strerror(-r));
	return r;
}

static void pause_ms(long ms)
{
	const struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* building */

static int map_ram(struct vmm *vmm)
{
	VFM_OPTS(vfm_map, map);

	vmm->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (vmm->ram == MAP_FAILED) {
		vmm->ram = NULL;
		return fail(vmm, -errno, "RAM");
	}
	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | VFM_MAP_FIXED;
	map.vaddr = vmm->ram;
	map.length = RAM_BYTES;
	return vfm_iommu_map(vmm->iommu, &map, &vmm->error);
}

/* The device reaches all of RAM, at the guest's own addresses. */
static int open_space(struct vmm *vmm)
{
	VFM_OPTS(vfm_iommu_options, options);
	int r;

	options.flags = VFM_IOMMU_DIRTY_TRACKING;
	options.backend = VFM_BACKEND_IOMMUFD;
	r = vfm_iommu_open(vmm->ctx, &options, &vmm->iommu, &vmm->error);
	return r == 0 ? map_ram(vmm) : r;
}

/* There is a virtual machine by then: KVM is told of the device's file before the device is bound. */
static int open_device(struct vmm *vmm, const char *name)
{
	VFM_OPTS(vfm_open, open);
	VFM_OPTS(vfm_start, start);
	int r;

	open.name = name;
	open.opened = guest_add_device;
	open.user = &vmm->guest;
	start.open = &open;
	r = vfm_devices_start(vmm->ctx, vmm->iommu, &start, 1, 1, &vmm->error);
	vmm->dev = start.ret_dev;
	return r;
}

static int build(struct vmm *vmm, const char *name, const char *socket, uint32_t flags, bool ring)
{
	VFM_OPTS(vfm_endpoint_opts, how);
	int r = vfm_context_new(&vmm->ctx);

	if (r == 0)
		r = open_space(vmm);
	if (r == 0)
		r = fail(vmm, guest_create(&vmm->guest, vmm->ram, RAM_BYTES, ring), "virtual machine");
	if (r == 0)
		r = open_device(vmm, name);
	how.flags = flags;
	how.timeout_ms = 60000;
	if (r == 0)
		r = vfm_endpoint_open(vmm->ctx, socket, &how, &vmm->endpoint, &vmm->error);
	if (r == 0)
		vmm->io = vfm_endpoint_io(vmm->endpoint);
	return r;
}

static void take_down(struct vmm *vmm)
{
	guest_destroy(&vmm->guest);
	vfm_endpoint_close(vmm->endpoint);
	vfm_tracker_free(vmm->tracker);
	vfm_device_close(vmm->dev);
	vfm_iommu_close(vmm->iommu);
	vfm_context_free(vmm->ctx);
	if (vmm->ram)
		munmap(vmm->ram, RAM_BYTES);
}

/* registers of the device, from the command line */

static int parse(const char *text, uint32_t *ret_region, uint64_t *ret_offset, const char **ret_value)
{
	char *end;

	*ret_region = (uint32_t)strtoul(text, &end, 0);
	if (end == text || *end != ':')
		return -EINVAL;
	*ret_offset = strtoull(end + 1, &end, 0);
	*ret_value = *end == '=' ? end + 1 : NULL;
	return *end && *end != '=' ? -EINVAL : 0;
}

/* @poking: those with a value are written, else those without are read. */
static int registers(struct vmm *vmm, char **texts, int count, bool poking)
{
	int r = 0;

	for (int i = 0; r == 0 && i < count; i++) {
		const char *text = NULL;
		uint32_t region = 0;
		uint64_t offset = 0, value;

		r = fail(vmm, parse(texts[i], &region, &offset, &text), texts[i]);
		if (r < 0 || !text == poking)
			continue;
		value = text ? strtoull(text, NULL, 0) : 0;
		if (poking) {
			r = vfm_device_region_write(vmm->dev, region, offset, &value, sizeof(value), &vmm->error);
		} else {
			r = vfm_device_region_read(vmm->dev, region, offset, &value, sizeof(value), &vmm->error);
			if (r == 0)
				printf("%s is %llu\n", texts[i], (unsigned long long)value);
		}
	}
	return r;
}

/* dirty pages */

static int track(struct vmm *vmm)
{
	VFM_OPTS(vfm_tracker_opts, opts);
	VFM_OPTS(vfm_tracker_device, seen);
	int r;

	opts.bitmap = (struct vfm_bitmap_pages){
		.size = sizeof(opts.bitmap), .page_shift = 12, .words = vmm->dirty, .pages = PAGES
	};
	r = vfm_tracker_new(vmm->ctx, &opts, &vmm->tracker, &vmm->error);
	if (r == 0)
		r = vfm_tracker_map(vmm->tracker, vmm->iommu, 0, RAM_BYTES, 0, &vmm->error);
	if (r == 0)
		r = vfm_tracker_join(vmm->tracker, vmm->dev, &vmm->error);
	if (r == 0)
		r = vfm_tracker_device(vmm->tracker, vmm->dev, &seen);
	if (r == 0)
		printf("dirty pages from source %u%s%s\n", seen.source, seen.why[0] ? ": " : "", seen.why);
	return r;
}

/* What the device wrote and what the vCPU wrote, in one bitmap. */
static int collect(struct vmm *vmm, uint32_t flags)
{
	uint64_t log[WORDS] = { 0 };
	int r = vfm_tracker_sync(vmm->tracker, flags, NULL, &vmm->error);

	if (r == 0)
		r = fail(vmm, guest_dirty(&vmm->guest, log), "KVM's dirty log");
	if (r == 0)
		vfm_bitmap_merge(vmm->dirty, 0, log, 0, PAGES, false);
	return r;
}

/* RAM on the wire: guest address and page, again and again, then END_OF_RAM and the sum of all. */

static uint64_t sum_of_ram(const struct vmm *vmm)
{
	uint64_t sum = 0xcbf29ce484222325;

	for (size_t at = 0; at < RAM_BYTES; at += sizeof(sum)) {
		uint64_t word;

		memcpy(&word, vmm->ram + at, sizeof(word));
		sum = (sum ^ word) * 0x100000001b3;
	}
	return sum;
}

static int send_pages(struct vmm *vmm, uint64_t first, uint64_t last)
{
	int r = 0;

	for (uint64_t page = first; r == 0 && page <= last; page++) {
		uint64_t address = page * PAGE_BYTES;

		r = vmm->io->write(vmm->io->user, &address, sizeof(address));
		if (r == 0)
			r = vmm->io->write(vmm->io->user, vmm->ram + address, PAGE_BYTES);
		vmm->pages_sent++;
	}
	return fail(vmm, r, "send RAM");
}

/* A page is clean from before it is read: what is written meanwhile is found by the next round. */
static int send_dirty(struct vmm *vmm)
{
	VFM_OPTS(vfm_bitmap_cursor, cursor);
	struct vfm_bitmap_range ranges[64];
	uint64_t sending[WORDS];
	size_t count;
	int r;

	memcpy(sending, vmm->dirty, sizeof(sending));
	vfm_bitmap_clear(vmm->dirty, 0, PAGES);
	cursor.words = sending;
	cursor.end = PAGES;
	do {
		r = vfm_bitmap_ranges(&cursor, ranges, 64, &count);
		for (size_t i = 0; r == 0 && i < count; i++)
			r = send_pages(vmm, ranges[i].first, ranges[i].last);
	} while (r == 0 && count > 0);
	return r;
}

static int send_end(struct vmm *vmm)
{
	const uint64_t end[2] = { END_OF_RAM, sum_of_ram(vmm) };

	return fail(vmm, vmm->io->write(vmm->io->user, end, sizeof(end)), "send RAM");
}

static int receive(struct vmm *vmm, void *to, size_t length)
{
	for (size_t done = 0; done < length;) {
		int64_t n = vmm->io->read(vmm->io->user, (uint8_t *)to + done, length - done);

		if (n <= 0)
			return fail(vmm, n < 0 ? (int)n : -EPIPE, "receive RAM");
		done += (size_t)n;
	}
	return 0;
}

static int receive_ram(struct vmm *vmm)
{
	uint64_t word;
	int r;

	while ((r = receive(vmm, &word, sizeof(word))) == 0 && word != END_OF_RAM) {
		if (word % PAGE_BYTES || word >= RAM_BYTES)
			return fail(vmm, -EBADMSG, "address of a page");
		r = receive(vmm, vmm->ram + word, PAGE_BYTES);
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = receive(vmm, &word, sizeof(word));
	if (r == 0 && word != sum_of_ram(vmm))
		r = fail(vmm, -EBADMSG, "RAM is not what the source had");
	return r;
}

/* the two sides */

static int stop_guest(struct vmm *vmm)
{
	struct guest_cpu cpu = { 0 };
	int r = guest_stop(&vmm->guest);

	if (r == -EILSEQ)
		snprintf(vmm->error.message, sizeof(vmm->error.message),
			 "the guest found a page that is not as it was left");
	else if ((r == -EIO || r == -ETIMEDOUT) && guest_save(&vmm->guest, &cpu) == 0)
		snprintf(vmm->error.message, sizeof(vmm->error.message),
			 "the vCPU has left its program: exit %u at 0x%llx", vmm->guest.run->exit_reason,
			 (unsigned long long)cpu.regs.rip);
	return fail(vmm, r, "guest");
}

/* vCPU, then device, then the last look at what they wrote: after it nothing writes any more. */
static int stop_and_send(struct vmm *vmm, struct guest_cpu *cpu)
{
	int r = stop_guest(vmm);

	if (r == 0)
		r = fail(vmm, guest_save(&vmm->guest, cpu), "vCPU");
	if (r == 0)
		r = vfm_device_set_state(vmm->dev, VFM_STATE_STOP, NULL, &vmm->error);
	if (r == 0)
		r = collect(vmm, VFM_TRACKER_FINAL);
	if (r == 0)
		r = send_dirty(vmm);
	return r < 0 ? r : send_end(vmm);
}

static int migrate(struct vmm *vmm, struct guest_cpu *cpu)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	VFM_OPTS(vfm_transfer_result, result);
	int r = track(vmm);

	for (int round = 0; r == 0 && round < ROUNDS; round++) {
		r = collect(vmm, 0);
		if (r == 0)
			r = send_dirty(vmm);
		pause_ms(ROUND_MS);
	}
	if (r == 0)
		r = stop_and_send(vmm, cpu);
	opts.blob = cpu;
	opts.blob_length = sizeof(*cpu);
	return r < 0 ? r : vfm_save(&vmm->dev, 1, vmm->io, &opts, &result, &vmm->error);
}

static int source(struct vmm *vmm, char **texts, int count)
{
	struct guest_cpu cpu;
	int r;

	guest_load(vmm->ram);
	r = fail(vmm, guest_reset(&vmm->guest), "vCPU");
	if (r == 0)
		r = vfm_device_bus_master(vmm->dev, true, &vmm->error);
	if (r == 0)
		r = registers(vmm, texts, count, true);
	if (r == 0)
		r = fail(vmm, guest_start(&vmm->guest), "vCPU");
	if (r == 0)
		r = migrate(vmm, &cpu);
	if (r == 0)
		r = registers(vmm, texts, count, false);
	if (r == 0)
		printf("source: %llu pages sent, there are %u; the guest wrote %u times\n",
		       (unsigned long long)vmm->pages_sent, PAGES, guest_counter(&cpu));
	if (r == 0 && vmm->guest.ring.entries)
		printf("source: the dirty ring was full %llu times\n", (unsigned long long)vmm->guest.ring.full);
	return r;
}

static int load(struct vmm *vmm, struct guest_cpu *cpu)
{
	VFM_OPTS(vfm_transfer_opts, opts);
	VFM_OPTS(vfm_transfer_result, result);
	void *blob = NULL;
	size_t length = 0;
	int r = receive_ram(vmm);

	opts.then_state = VFM_STATE_RUNNING;
	opts.ret_blob = &blob;
	opts.ret_blob_length = &length;
	if (r == 0)
		r = vfm_restore(&vmm->dev, 1, vmm->io, &opts, &result, &vmm->error);
	if (r == 0 && length != sizeof(*cpu))
		r = fail(vmm, -EBADMSG, "vCPU");
	if (r == 0)
		memcpy(cpu, blob, sizeof(*cpu));
	free(blob);
	return r;
}

/* The guest goes on where it was, and looks at every page that it has ever written. */
static int destination(struct vmm *vmm, char **texts, int count)
{
	struct guest_cpu before, after;
	int r = load(vmm, &before);

	if (r == 0)
		r = fail(vmm, guest_restore(&vmm->guest, &before), "vCPU");
	if (r == 0)
		r = fail(vmm, guest_start(&vmm->guest), "vCPU");
	if (r == 0)
		pause_ms(RUN_MS);
	if (r == 0)
		r = stop_guest(vmm);
	if (r == 0)
		r = fail(vmm, guest_save(&vmm->guest, &after), "vCPU");
	if (r == 0)
		r = registers(vmm, texts, count, false);
	if (r == 0)
		printf("destination: the guest went on from %u to %u\n", guest_counter(&before), guest_counter(&after));
	return r;
}

int main(int argc, char **argv)
{
	struct vmm vmm = { .guest = { .kvm = -1, .vm = -1, .vcpu = -1, .devices = -1 },
			   .error.size = sizeof(vmm.error) };
	bool ring = argc > 1 && !strcmp(argv[1], "source-ring");
	bool sending = ring || (argc > 1 && !strcmp(argv[1], "source"));
	int r;

	if (argc < 4 || (!sending && strcmp(argv[1], "destination") != 0)) {
		fprintf(stderr, "usage: minivmm source|source-ring|destination DEVICE unix:SOCKET "
				"[REGION:OFFSET[=VALUE]]...\n");
		return 2;
	}
	r = build(&vmm, argv[2], argv[3], sending ? VFM_ENDPOINT_WRITE : VFM_ENDPOINT_READ | VFM_ENDPOINT_LISTEN, ring);
	if (r == 0)
		r = sending ? source(&vmm, argv + 4, argc - 4) : destination(&vmm, argv + 4, argc - 4);
	if (r < 0)
		fprintf(stderr, "minivmm: %s\n", vmm.error.message[0] ? vmm.error.message : strerror(-r));
	take_down(&vmm);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
