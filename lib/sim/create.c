/* SPDX-License-Identifier: MIT */
/* Making a machine from its description: "PROFILE[@ADDRESS][,KEY=VALUE...];..." */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "profile.h"
#include "uapi/vfio.h"

#define DEFAULT_SPEC "edu@0000:01:00.0;edu@0000:02:00.0;mtty;mtty"
#define PAGE_SIZE_KEY "pagesize"
#define DEFAULT_ENTRIES 65535u
#define MAX_PAGE 65536u
#define MIN_PLAIN_BAR 512u	/* has room for an MSI-X table */
#define AREA_ALIGN (1ull << 20) /* also of whole pages, whatever their size */
/* What moving state costs on the machine's clock unless arc= and rate= say otherwise. */
#define DEFAULT_ARC_NS 100000u
#define DEFAULT_NS_PER_MIB 244140u /* 4 GiB/s */

int vfmi_sim_complain(const struct sim_complaint *to, const char *fmt, ...)
{
	va_list ap;

	if (to->text && to->room) {
		va_start(ap, fmt);
		vsnprintf(to->text, to->room, fmt, ap);
		va_end(ap);
	}
	return -EINVAL;
}

static bool parse_number(const char *text, uint64_t *ret, const char **ret_rest)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 0);
	*ret_rest = end;
	return !errno;
}

/* 64, 64k, 64m, 64g */
static bool parse_bytes(const char *text, uint64_t *ret)
{
	static const char suffixes[] = "kmg";
	const char *rest, *suffix;
	unsigned int shift = 0;

	if (!parse_number(text, ret, &rest))
		return false;
	if (rest[0]) {
		suffix = strchr(suffixes, tolower((unsigned char)rest[0]));
		if (!suffix || rest[1])
			return false;
		shift = 10u * (unsigned int)(suffix - suffixes + 1);
	}
	if (*ret > UINT64_MAX >> shift)
		return false;
	*ret <<= shift;
	return true;
}

/* 5s, 5ms, 5us, 5ns */
static bool parse_time(const char *text, uint64_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = { { "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 } };
	const char *rest;
	size_t i;

	if (!parse_number(text, ret, &rest))
		return false;
	for (i = 0; i < VFMI_ARRAY_SIZE(units); i++)
		if (!strcmp(rest, units[i].unit))
			return !__builtin_mul_overflow(*ret, units[i].ns, ret);
	return false;
}

static bool parse_u32(const char *text, uint32_t *ret)
{
	const char *rest;
	uint64_t value;

	if (!parse_number(text, &value, &rest) || rest[0] || value > UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

/* Keys. Each says whether the value is one. */

static bool set_state(struct sim_device *dev, const char *value)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);

	return (profile->quirks & SIM_HAS_CONTENTS) && parse_bytes(value, &dev->state_bytes) && dev->state_bytes &&
	       dev->state_bytes <= (profile->state_max ? profile->state_max : SIM_MAX_STATE);
}

static bool set_flags(struct sim_device *dev, const char *value)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);

	return profile->migration_flags && parse_u32(value, &dev->migration_flags) &&
	       (dev->migration_flags & VFIO_MIGRATION_STOP_COPY) && dev->migration_flags <= 7 &&
	       (profile->precopy_info || !(dev->migration_flags & VFIO_MIGRATION_PRE_COPY));
}

static bool set_chunk(struct sim_device *dev, const char *value)
{
	return vfmi_sim_profile(dev)->migration_flags && parse_bytes(value, &dev->chunk);
}

static bool set_precopy(struct sim_device *dev, const char *value)
{
	dev->precopy_eof = !strcmp(value, "0");
	return vfmi_sim_profile(dev)->migration_flags && (dev->precopy_eof || !strcmp(value, "enomsg"));
}

static bool set_version(struct sim_device *dev, const char *value)
{
	return vfmi_sim_profile(dev) == &vfmi_sim_hisi_acc && parse_u32(value, &dev->format) && dev->format >= 1 &&
	       dev->format <= 2;
}

static bool set_ports(struct sim_device *dev, const char *value)
{
	return vfmi_sim_profile(dev) == &vfmi_sim_mtty && parse_u32(value, &dev->ports) && dev->ports >= 1 &&
	       dev->ports <= 2;
}

static bool set_arc(struct sim_device *dev, const char *value)
{
	return parse_time(value, &dev->arc_ns);
}

static bool set_ready(struct sim_device *dev, const char *value)
{
	return !(vfmi_sim_profile(dev)->quirks & SIM_MDEV) && parse_time(value, &dev->ready_ns);
}

static bool set_reset(struct sim_device *dev, const char *value)
{
	return !(vfmi_sim_profile(dev)->quirks & SIM_MDEV) && parse_time(value, &dev->reset_ns);
}

static bool set_unready(struct sim_device *dev, const char *value)
{
	dev->unready = strcmp(value, "registers") ? SIM_UNREADY_ONES : SIM_UNREADY_REGISTERS;
	return vfmi_sim_quirk(dev, SIM_OWN_MEMORY) && (dev->unready || !strcmp(value, "ones"));
}

static bool set_rate(struct sim_device *dev, const char *value)
{
	uint64_t rate;

	if (!parse_bytes(value, &rate) || rate < 1024)
		return false;
	dev->read_ns_per_mib = (1ull << 20) * 1000000000ull / rate;
	return true;
}

static bool set_fail_arc(struct sim_device *dev, const char *value)
{
	return vfmi_sim_profile(dev)->migration_flags && parse_u32(value, &dev->fail_arc);
}

static bool set_group(struct sim_device *dev, const char *value)
{
	return parse_u32(value, &dev->group) && dev->group < 1u << 20;
}

static bool set_flag(struct sim_device *dev, const char *value, const char *when, uint32_t flag)
{
	dev->flags = strcmp(value, when) ? dev->flags & ~flag : dev->flags | flag;
	return (!strcmp(value, "0") || !strcmp(value, "1")) && !(vfmi_sim_profile(dev)->quirks & SIM_MDEV);
}

static bool set_dirty(struct sim_device *dev, const char *value)
{
	return set_flag(dev, value, "1", SIM_DEVICE_DIRTY);
}

static bool set_log(struct sim_device *dev, const char *value)
{
	return vfmi_sim_profile(dev)->log && set_flag(dev, value, "1", SIM_DEVICE_LOG);
}

static bool set_iommu(struct sim_device *dev, const char *value)
{
	return set_flag(dev, value, "0", SIM_DEVICE_NO_IOMMU);
}

static bool set_pasid(struct sim_device *dev, const char *value)
{
	return !(vfmi_sim_profile(dev)->quirks & SIM_MDEV) && parse_u32(value, &dev->pasid_log2) &&
	       dev->pasid_log2 <= 20;
}

static bool set_intx(struct sim_device *dev, const char *value)
{
	dev->intx = !strcmp(value, "absent") ? SIM_INTX_ABSENT : SIM_INTX_UNCONNECTED;
	return vfmi_sim_profile(dev)->pin && !(vfmi_sim_profile(dev)->quirks & SIM_MDEV) &&
	       (dev->intx == SIM_INTX_ABSENT || !strcmp(value, "unconnected"));
}

static bool set_msix(struct sim_device *dev, const char *value)
{
	dev->msix_static = 1;
	return vfmi_sim_profile(dev)->msix_cap && !strcmp(value, "static");
}

static bool set_vectors(struct sim_device *dev, const char *value)
{
	return vfmi_sim_profile(dev)->msix_cap && parse_u32(value, &dev->vectors_max) && dev->vectors_max;
}

static bool set_bar(struct sim_device *dev, const char *value)
{
	dev->plain_bar = 1;
	return vfmi_sim_quirk(dev, SIM_OWN_MEMORY) && !strcmp(value, "plain");
}

static bool set_sriov(struct sim_device *dev, const char *value)
{
	return !(vfmi_sim_profile(dev)->quirks & SIM_MDEV) && parse_u32(value, &dev->sriov) && dev->sriov <= 1;
}

static bool set_pf(struct sim_device *dev, const char *value)
{
	snprintf(dev->pf, sizeof(dev->pf), "%s", value);
	return !(vfmi_sim_profile(dev)->quirks & SIM_MDEV) && strlen(value) == strlen("0000:00:00.0");
}

static const struct {
	const char *name;
	bool (*set)(struct sim_device *dev, const char *value);
} keys[] = {
	{ "group", set_group },	      { "dirty", set_dirty }, { "iommu", set_iommu },	  { "pasid", set_pasid },
	{ "state", set_state },	      { "flags", set_flags }, { "chunk", set_chunk },	  { "precopy", set_precopy },
	{ "version", set_version },   { "ports", set_ports }, { "arc", set_arc },	  { "rate", set_rate },
	{ "intx", set_intx },	      { "msix", set_msix },   { "sriov", set_sriov },	  { "pf", set_pf },
	{ "fail-arc", set_fail_arc }, { "ready", set_ready }, { "reset", set_reset },	  { "unready", set_unready },
	{ "log", set_log },	      { "bar", set_bar },     { "vectors", set_vectors },
};

static int apply_key(struct sim_device *dev, char *text, const struct sim_complaint *complaint)
{
	const char *profile = vfmi_sim_profile(dev)->name;
	char *value = strchr(text, '=');
	size_t i;

	if (!value)
		return vfmi_sim_complain(complaint, "'%s': KEY=VALUE expected", text);
	*value++ = '\0';
	for (i = 0; i < VFMI_ARRAY_SIZE(keys); i++)
		if (!strcmp(keys[i].name, text)) {
			if (keys[i].set(dev, value))
				return 0;
			return vfmi_sim_complain(complaint, "%s: %s cannot be '%s'", profile, text, value);
		}
	return vfmi_sim_complain(complaint, "%s: there is no key '%s'", profile, text);
}

/* Addresses: DDDD:BB:DD.F or a UUID, lower case. */
static bool fits_pattern(const char *text, const char *pattern)
{
	for (; *pattern; pattern++, text++)
		if (*pattern == 'x' ? !isxdigit((unsigned char)*text) : *pattern != *text)
			return false;
	return !*text;
}

static int set_address(const struct sim_machine *machine, struct sim_device *dev, const char *address,
		       const struct sim_complaint *complaint)
{
	bool mdev = vfmi_sim_profile(dev)->quirks & SIM_MDEV;
	size_t i;

	if (!fits_pattern(address, mdev ? "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" : "xxxx:xx:xx.x") ||
	    (!mdev && address[11] > '7'))
		return vfmi_sim_complain(complaint, "'%s' is not %s", address, mdev ? "a UUID" : "a PCI address");
	for (i = 0; address[i]; i++)
		dev->name[i] = (char)tolower((unsigned char)address[i]);
	dev->name[i] = '\0';
	for (i = 0; i < machine->devices; i++)
		if (!strcmp(machine->device[i].name, dev->name))
			return vfmi_sim_complain(complaint, "%s is there twice", dev->name);
	return 0;
}

static void default_address(const struct sim_device *dev, uint32_t index, char *buf, size_t room)
{
	if (vfmi_sim_profile(dev)->quirks & SIM_MDEV)
		snprintf(buf, room, "6d747479-0000-4000-8000-%012x", index);
	else
		snprintf(buf, room, "0000:%02x:00.0", index + 1);
}

/* Where sysfs keeps it: mdevs under their parent, PCI devices behind a port of their own. */
static void set_place(struct sim_device *dev, uint32_t index)
{
	const struct sim_profile *profile = vfmi_sim_profile(dev);
	char name[sizeof(dev->name)];

	memcpy(name, dev->name, sizeof(name));
	if (profile->quirks & SIM_MDEV) {
		snprintf(dev->bus_path, sizeof(dev->bus_path), "/sys/devices/virtual/mtty/mtty/%.40s", name);
		snprintf(dev->mdev_type, sizeof(dev->mdev_type), "mtty-%u", dev->ports);
	} else if (!strncmp(name, "0000:00:", 8)) {
		snprintf(dev->bus_path, sizeof(dev->bus_path), "/sys/devices/pci0000:00/%.16s", name);
	} else {
		snprintf(dev->bus_path, sizeof(dev->bus_path), "/sys/devices/pci0000:00/0000:00:%02x.0/%.16s",
			 (index + 1) & 0x1f, name);
	}
}

static uint32_t vfio_devices(const struct sim_machine *machine)
{
	uint32_t i, n = 0;

	for (i = 0; i < machine->devices; i++)
		n += !!(machine->device[i].flags & SIM_DEVICE_VFIO);
	return n;
}

/* "pagesize=64k" in the place of a device: of the host as a whole. */
static int set_page_size(struct sim_machine *machine, const char *value, const struct sim_complaint *complaint)
{
	const uint64_t least = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t size;

	if (machine->devices)
		return vfmi_sim_complain(complaint, "pagesize stands before all devices");
	if (!parse_bytes(value, &size) || size < least || size > MAX_PAGE || size & (size - 1))
		return vfmi_sim_complain(complaint,
					 "pagesize cannot be '%s': a power of two from %" PRIu64 " to %u is expected",
					 value, least, MAX_PAGE);
	machine->page_size = (uint32_t)size;
	return 0;
}

/* Contents that are a BAR: whole pages, or a size that a BAR can have. */
static bool fits_bar(const struct sim_device *dev, uint32_t page)
{
	if (dev->plain_bar)
		return dev->state_bytes >= MIN_PLAIN_BAR && !(dev->state_bytes & (dev->state_bytes - 1));
	return dev->state_bytes % page == 0;
}

static int add_device(struct sim_machine *machine, char *text, const struct sim_complaint *complaint)
{
	struct sim_device *dev = &machine->device[machine->devices];
	char address[64], *at, *key, *rest = NULL;
	size_t length = strcspn(text, "@,");
	int profile = vfmi_sim_profile_index(text, length);
	int r;

	if (machine->devices == SIM_MAX_DEVICES)
		return vfmi_sim_complain(complaint, "more than %u devices", SIM_MAX_DEVICES);
	if (profile < 0)
		return vfmi_sim_complain(complaint, "there is no profile '%.*s'", (int)length, text);
	dev->profile = (uint32_t)profile;
	dev->migration_flags = vfmi_sim_profile(dev)->migration_flags;
	dev->state_bytes = vfmi_sim_profile(dev)->state_bytes;
	dev->precopy_eof = !!(vfmi_sim_profile(dev)->quirks & SIM_PRECOPY_ENDS_IN_0);
	dev->arc_ns = DEFAULT_ARC_NS;
	dev->read_ns_per_mib = DEFAULT_NS_PER_MIB;
	dev->ports = 2;
	dev->format = 2;
	dev->state = VFIO_DEVICE_STATE_RUNNING;
	dev->irq.type = SIM_IRQ_NONE;
	dev->flags = vfmi_sim_profile(dev) == &vfmi_sim_nvme ? 0 : SIM_DEVICE_VFIO;
	if (vfmi_sim_profile(dev)->log > SIM_LOG_STUB)
		dev->flags |= SIM_DEVICE_LOG;
	dev->cdev = vfio_devices(machine);
	dev->group = machine->devices + 1;

	default_address(dev, machine->devices, address, sizeof(address));
	at = text + length;
	if (*at == '@') {
		key = at + 1;
		at = key + strcspn(key, ",");
		snprintf(address, sizeof(address), "%.*s", (int)(at - key), key);
	}
	r = set_address(machine, dev, address, complaint);
	for (key = *at ? strtok_r(at + 1, ",", &rest) : NULL; !r && key; key = strtok_r(NULL, ",", &rest))
		r = apply_key(dev, key, complaint);
	if (!r && !dev->migration_flags && !fits_bar(dev, machine->page_size))
		r = vfmi_sim_complain(complaint,
				      "%s: state is whole pages of %u bytes, with bar=plain a power of two "
				      "from %u on",
				      vfmi_sim_profile(dev)->name, machine->page_size, MIN_PLAIN_BAR);
	if (r)
		return r;
	set_place(dev, machine->devices);
	if (vfmi_sim_profile(dev)->reset)
		vfmi_sim_profile(dev)->reset(dev);
	machine->devices++;
	return 0;
}

/* The host: elements of the description that have no profile but begin with KEY=VALUE. */

static bool parse_bool(const char *text, uint32_t *ret)
{
	return parse_u32(text, ret) && *ret <= 1;
}

/* What a kernel of that version has, unless the description says otherwise behind it. */
static bool set_kernel(struct sim_host *host, const char *value)
{
	uint64_t major, minor;
	const char *rest;

	if (!parse_number(value, &major, &rest) || *rest != '.' || !parse_number(rest + 1, &minor, &rest) || *rest ||
	    major > 255 || minor > 255)
		return false;
	host->kernel = SIM_KERNEL((uint32_t)major, (uint32_t)minor);
	host->iommufd = host->kernel >= SIM_KERNEL(6, 2);
	host->cdev = host->kernel >= SIM_KERNEL(6, 6);
	return true;
}

static bool set_host(struct sim_host *host, const char *key, const char *value)
{
	if (!strcmp(key, "kernel"))
		return set_kernel(host, value);
	if (!strcmp(key, "iommufd"))
		return parse_bool(value, &host->iommufd);
	if (!strcmp(key, "cdev"))
		return parse_bool(value, &host->cdev);
	if (!strcmp(key, "containers"))
		return parse_bool(value, &host->containers);
	if (!strcmp(key, "noiommu"))
		return parse_bool(value, &host->noiommu);
	if (!strcmp(key, "entries"))
		return parse_u32(value, &host->entries) && host->entries;
	return !strcmp(key, "memlock") && parse_bytes(value, &host->memlock);
}

static int add_host(struct sim_machine *machine, char *text, const struct sim_complaint *complaint)
{
	char *key, *value, *rest = NULL;
	int r = 0;

	for (key = strtok_r(text, ",", &rest); !r && key; key = strtok_r(NULL, ",", &rest)) {
		value = strchr(key, '=');
		if (!value)
			return vfmi_sim_complain(complaint, "'%s': KEY=VALUE expected", key);
		*value++ = '\0';
		if (!strcmp(key, PAGE_SIZE_KEY))
			r = set_page_size(machine, value, complaint);
		else if (!set_host(&machine->host, key, value))
			r = vfmi_sim_complain(complaint, "the host has no key '%s' that can be '%s'", key, value);
	}
	return r;
}

/* What does not fit the host is found when all is known. */
static int check_host(struct sim_machine *machine, const struct sim_complaint *complaint)
{
	struct sim_host *host = &machine->host;
	uint32_t i;

	host->cdev &= host->iommufd; /* no cdev without something to bind it to */
	for (i = 0; i < machine->devices; i++)
		if ((machine->device[i].flags & SIM_DEVICE_NO_IOMMU) && !(host->noiommu && host->containers))
			return vfmi_sim_complain(complaint, "%s: iommu=0 needs noiommu=1 and containers=1",
						 machine->device[i].name);
	return 0;
}

static bool is_host(const char *text)
{
	return text[strcspn(text, ",=@")] == '=';
}

static uint64_t align_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

/* Where everything lies in the file; returns its size. */
static uint64_t lay_out(struct sim_machine *machine)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE); /* the tables are mapped here, whatever is simulated */
	uint64_t at = align_up(sizeof(*machine), page);
	uint32_t i;

	machine->maps_at = at;
	at += align_up((uint64_t)SIM_MAX_MAPS * sizeof(struct sim_map), page);
	machine->pages_at = at;
	at += align_up((uint64_t)SIM_PAGE_SETS * sizeof(struct sim_pages), page);
	for (i = 0; i < machine->devices; i++) {
		machine->device[i].bitmap_at = at;
		at += align_up(align_up(machine->device[i].state_bytes, SIM_BLOCK) / SIM_BLOCK, 64) / 8;
	}
	machine->mapped_bytes = align_up(at, page);
	at = align_up(machine->mapped_bytes, AREA_ALIGN);
	for (i = 0; i < machine->devices; i++) {
		machine->device[i].contents_at = at;
		at += align_up(machine->device[i].state_bytes, SIM_BLOCK);
		machine->device[i].piece_at = at;
		at = align_up(at + SIM_BLOCK, AREA_ALIGN);
	}
	return at;
}

int vfmi_sim_describe(struct sim_machine *machine, const char *spec, const struct sim_complaint *complaint)
{
	char *copy = strdup(spec ? spec : DEFAULT_SPEC), *text, *rest = NULL;
	char always[] = "nvme@0000:00:04.0"; /* what no VFIO driver is bound to */
	int r = 0;

	if (!copy)
		return -ENOMEM;
	machine->page_size = (uint32_t)sysconf(_SC_PAGESIZE);
	machine->host = (struct sim_host){ .kernel = SIM_KERNEL(6, 12),
					   .iommufd = 1,
					   .cdev = 1,
					   .containers = 1,
					   .entries = DEFAULT_ENTRIES,
					   .memlock = UINT64_MAX };
	for (text = strtok_r(copy, ";", &rest); !r && text; text = strtok_r(NULL, ";", &rest))
		r = is_host(text) ? add_host(machine, text, complaint) : add_device(machine, text, complaint);
	free(copy);
	if (!r)
		r = check_host(machine, complaint);
	if (r)
		return r;
	if (!machine->devices)
		return vfmi_sim_complain(complaint, "no device in '%s'", spec);
	return add_device(machine, always, complaint);
}

int vfmi_sim_make(int fd, const char *spec, const struct sim_complaint *complaint)
{
	struct sim_machine *machine = calloc(1, sizeof(*machine));
	uint64_t bytes;
	int r;

	if (!machine)
		return -ENOMEM;
	r = vfmi_sim_describe(machine, spec, complaint);
	if (r)
		goto out;
	memcpy(machine->magic, SIM_MAGIC, sizeof(machine->magic));
	machine->version = SIM_VERSION;
	machine->tables_bytes = sizeof(*machine);
	machine->wall_base_s = (uint64_t)time(NULL);
	machine->now_ns = 1000000000;
	bytes = lay_out(machine);
	if (bytes >= SIM_LOCK_BYTE) {
		r = vfmi_sim_complain(complaint, "the devices have too much state together");
		goto out;
	}
	if (ftruncate(fd, (off_t)bytes) < 0 || pwrite(fd, machine, sizeof(*machine), 0) != (ssize_t)sizeof(*machine))
		r = -errno;
out:
	free(machine);
	return r;
}
