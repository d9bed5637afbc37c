/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory to be tracked: read from options, checked against what devices can reach, mapped, given bits of a bitmap. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dirty-memory.h"

#define PAGE_BYTES 4096u /* the least that any source tells apart */
#define DEFAULT_BYTES (UINT64_C(16) << 20)
#define MAX_PAGE_SHIFT 30u

static const char *const memory_option = "--memory", *const area_option = "--area";

static int parse_hex(const char *text, uint64_t *ret)
{
	const size_t length = strlen(text);

	if (length == 0 || length > 16 || strspn(text, "0123456789abcdefABCDEF") != length)
		return -1;
	*ret = strtoull(text, NULL, 16);
	return 0;
}

/* "0xfee00000", or as any size. */
static int parse_address(const char *text, uint64_t *ret)
{
	return has_prefix(text, "0x") ? parse_hex(text + 2, ret) : parse_bytes(text, ret);
}

static int append(struct cli *cli, struct dirty_memory *memory, struct dirty_area area)
{
	struct dirty_area *items = realloc(memory->items, (memory->count + 1) * sizeof(*items));

	if (!items)
		return cli_fail_memory(cli);
	items[memory->count++] = area;
	memory->items = items;
	return 0;
}

/* Told by an option: the sentences are the user's. */
static int add_area(struct cli *cli, struct dirty_memory *memory, const struct dirty_area *area, const char *text)
{
	const char *option = area->ours ? memory_option : area_option;

	if (area->length == 0)
		return cli_usage(cli, "%s: '%s' is of no length", option, text);
	if (area->length % PAGE_BYTES || area->iova % PAGE_BYTES)
		return cli_usage(cli, "%s: '%s' is not made of whole pages of %u bytes", option, text, PAGE_BYTES);
	if (area->length - 1 > UINT64_MAX - area->iova)
		return cli_usage(cli, "%s: '%s' goes beyond the last address there is", option, text);
	for (size_t i = 0; i < memory->count; i++) {
		const struct dirty_area *other = &memory->items[i];

		if (other->ours == area->ours && other->placed && area->placed &&
		    other->iova <= area->iova + (area->length - 1) && area->iova <= other->iova + (other->length - 1))
			return cli_usage(cli, "%s: '%s' overlaps one before it", option, text);
	}
	return append(cli, memory, *area);
}

/* "A" and "B" of "A@B"; @ret_b is NULL without a @separator. free(*ret_a) */
static int split(struct cli *cli, const char *text, char separator, char **ret_a, const char **ret_b)
{
	const char *at = strchr(text, separator);

	*ret_b = at ? at + 1 : NULL;
	*ret_a = at ? strndup(text, (size_t)(at - text)) : strdup(text);
	return *ret_a ? 0 : cli_fail_memory(cli);
}

static int parse_memory(struct cli *cli, struct dirty_memory *memory, const char *text)
{
	struct dirty_area area = { .ours = true };
	const char *iova;
	char *size;
	int r = split(cli, text, '@', &size, &iova);

	if (r)
		return r;
	area.placed = iova;
	if (parse_bytes(size, &area.length) < 0 || (iova && parse_address(iova, &area.iova) < 0))
		r = cli_usage(cli, "%s: '%s' is not SIZE[@IOVA]", memory_option, text);
	else
		r = add_area(cli, memory, &area, text);
	free(size);
	return r;
}

static int parse_area(struct cli *cli, struct dirty_memory *memory, const char *text)
{
	struct dirty_area area = { .placed = true };
	const char *length;
	char *iova;
	int r = split(cli, text, ',', &iova, &length);

	if (r)
		return r;
	if (!length || parse_address(iova, &area.iova) < 0 || parse_address(length, &area.length) < 0)
		r = cli_usage(cli, "%s: '%s' is not IOVA,LENGTH", area_option, text);
	else
		r = add_area(cli, memory, &area, text);
	free(iova);
	return r;
}

static int parse_page(struct cli *cli, uint64_t bytes, uint32_t *ret_shift)
{
	if (bytes == 0)
		bytes = PAGE_BYTES;
	if (bytes & (bytes - 1) || bytes < PAGE_BYTES || bytes > UINT64_C(1) << MAX_PAGE_SHIFT)
		return cli_usage(cli, "--pages: a power of two from 4k to 1g is what a page can be");
	*ret_shift = (uint32_t)__builtin_ctzll(bytes);
	return 0;
}

/* Whose memory it is depends on who has opened the devices. */
static int check_kinds(struct cli *cli, const struct dirty_memory_request *request)
{
	if (!request->ours && request->memory->count)
		return cli_usage(cli, "--memory: a lent device reaches what its holder has mapped; say where that is: "
				      "--area IOVA,LENGTH");
	if (!request->lent && request->areas->count)
		return cli_usage(cli, "--area: nobody has mapped anything for a device that is opened here; --memory "
				      "SIZE@IOVA does");
	if (request->lent && request->areas->count == 0)
		return cli_usage(cli, "--area IOVA,LENGTH is missing: only the holder of a lent device knows what it "
				      "has mapped");
	return 0;
}

/* Return: false when that is more than there can be. */
static bool sum_ours(const struct dirty_memory *memory, uint64_t *ret_bytes, uint64_t *ret_count)
{
	*ret_bytes = *ret_count = 0;
	for (size_t i = 0; i < memory->count; i++) {
		if (!memory->items[i].ours)
			continue;
		++*ret_count;
		if (__builtin_add_overflow(*ret_bytes, memory->items[i].length, ret_bytes))
			return false;
	}
	return true;
}

int dirty_memory_parse(struct cli *cli, const struct dirty_memory_request *request, struct dirty_memory *ret)
{
	uint64_t bytes, areas;
	int r;

	*ret = (struct dirty_memory){ .bitmap.size = sizeof(ret->bitmap) };
	r = check_kinds(cli, request);
	if (r == 0)
		r = parse_page(cli, request->page_bytes, &ret->bitmap.page_shift);
	for (size_t i = 0; i < request->memory->count && r == 0; i++)
		r = parse_memory(cli, ret, request->memory->items[i]);
	for (size_t i = 0; i < request->areas->count && r == 0; i++)
		r = parse_area(cli, ret, request->areas->items[i]);
	if (r == 0 && request->ours && request->memory->count == 0)
		r = append(cli, ret, (struct dirty_area){ .length = DEFAULT_BYTES, .ours = true });
	if (r == 0 && !sum_ours(ret, &bytes, &areas))
		r = cli_usage(cli, "--memory: more than there can be");
	return r;
}

/* Windows of what is opened here are known only after it was, and so was reset: no mere mistake any more. */
static int fail_area(struct cli *cli, const struct dirty_area *area, const char *text)
{
	return area->ours ? cli_fail_at(cli, CLI_UNSUPPORTED, NULL, "windows", "%s", text) : cli_usage(cli, "%s", text);
}

static int check_area(struct cli *cli, const struct dirty_area *area, const struct vfm_iova_range *windows,
		      size_t count, uint64_t alignment)
{
	const struct vfm_iova_range range = { .first = area->iova, .last = area->iova + (area->length - 1) };
	const char *option = area->ours ? memory_option : area_option;
	size_t outside = 0;
	char text[256];
	int r;

	if (alignment && (area->length % alignment || (area->placed && area->iova % alignment))) {
		snprintf(text, sizeof(text), "%s: memory is mapped in multiples of %" PRIu64 " bytes here", option,
			 alignment);
		return fail_area(cli, area, text);
	}
	if (!area->placed)
		return 0;
	r = vfm_iova_exclude(&range, 1, windows, count, NULL, 0, &outside);
	if (r < 0 && r != -EMSGSIZE)
		return cli_fail_memory(cli);
	if (!outside)
		return 0;
	snprintf(text, sizeof(text),
		 "%s: 0x%" PRIx64 "-0x%" PRIx64 " is not inside the windows that the devices can reach; '" CLI_NAME
		 " iova' shows them",
		 option, range.first, range.last);
	return fail_area(cli, area, text);
}

int dirty_memory_check(struct cli *cli, const struct dirty_memory *memory, struct vfm_iommu *iommu, bool ours)
{
	struct vfm_iova_range *windows = NULL;
	uint64_t alignment = 1;
	size_t count = 0;
	int r = devices_windows(cli, iommu, &windows, &count, &alignment);

	for (size_t i = 0; i < memory->count && r == 0; i++) {
		if (memory->items[i].ours == ours)
			r = check_area(cli, &memory->items[i], windows, count, alignment);
	}
	free(windows);
	return r;
}

int dirty_fail_opened(struct cli *cli, const struct vfm_error *error)
{
	switch (cli_exit_code(CLI_STAGE_OPEN, error, NULL, signals_first())) {
	case CLI_USAGE:
		return cli_fail_as(cli, CLI_UNSUPPORTED, error);
	case CLI_UNAVAILABLE:
		return cli_fail_as(cli, CLI_FAILED, error);
	default:
		return cli_fail(cli, CLI_STAGE_OPEN, error, NULL);
	}
}

static int map_area(struct cli *cli, struct dirty_area *area, struct vfm_iommu *iommu)
{
	VFM_OPTS(vfm_error, error);
	VFM_OPTS(vfm_map, map);
	void *vaddr = MAP_FAILED;

	errno = ENOMEM;
	if (area->length <= SIZE_MAX)
		vaddr = mmap(NULL, (size_t)area->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vaddr == MAP_FAILED)
		return cli_fail_errno(cli, CLI_FAILED, errno, NULL, "map memory", "--memory: %" PRIu64 " bytes: %s",
				      area->length, strerror(errno));
	area->vaddr = vaddr;
	map.flags = VFM_MAP_READ | VFM_MAP_WRITE | (area->placed ? VFM_MAP_FIXED : 0);
	map.vaddr = vaddr;
	map.length = area->length;
	map.iova = area->iova;
	if (vfm_iommu_map(iommu, &map, &error) < 0)
		return dirty_fail_opened(cli, &error);
	area->iova = map.iova;
	area->placed = true;
	return 0;
}

/* Those with a place first: none of them may be taken by one without. */
int dirty_memory_map(struct cli *cli, struct dirty_memory *memory, struct vfm_iommu *iommu)
{
	VFM_OPTS(vfm_error, error);
	uint64_t bytes, count;
	int r = 0;

	sum_ours(memory, &bytes, &count);
	if (vfm_iommu_preflight(iommu, bytes, count, NULL, &error) < 0)
		return dirty_fail_opened(cli, &error);
	for (int placed = 1; placed >= 0; placed--) {
		for (size_t i = 0; i < memory->count && r == 0; i++) {
			struct dirty_area *area = &memory->items[i];

			if (area->ours && !area->vaddr && area->placed == placed)
				r = map_area(cli, area, iommu);
		}
	}
	return r;
}

/*
 * One area after the other. Each keeps its place within a page of the bitmap, so that such a page is one of IOVA too
 * and never stands for parts of two areas.
 */
int dirty_memory_lay_out(struct cli *cli, struct dirty_memory *memory)
{
	const uint64_t page = UINT64_C(1) << memory->bitmap.page_shift;
	uint64_t next = 0;

	for (size_t i = 0; i < memory->count; i++) {
		struct dirty_area *area = &memory->items[i];

		area->guest = next + area->iova % page;
		if (__builtin_add_overflow(area->guest, area->length, &next) ||
		    __builtin_add_overflow(next, page - 1, &next))
			return cli_usage(cli, "the areas are more than one address space in all");
		next &= ~(page - 1);
	}
	memory->bitmap.pages = next >> memory->bitmap.page_shift;
	memory->bitmap.words = calloc(vfm_bitmap_words(memory->bitmap.pages), sizeof(uint64_t));
	return memory->bitmap.words ? 0 : cli_fail_memory(cli);
}

void dirty_memory_free(struct dirty_memory *memory)
{
	for (size_t i = 0; i < memory->count; i++) {
		if (memory->items[i].vaddr)
			munmap(memory->items[i].vaddr, (size_t)memory->items[i].length);
	}
	free(memory->bitmap.words);
	free(memory->items);
	*memory = (struct dirty_memory){ 0 };
}
