/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of PCI vendors and devices, from libpci's table. Nothing is asked of a device. */
#include <pci/pci.h>
#include <stdlib.h>

#include "cli.h"

/* libpci wants a handler that does not come back; all it is asked for here is a table look-up. */
__attribute__((format(printf, 1, 2), noreturn)) static void on_error(char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s: libpci: ", CLI_NAME);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(CLI_FAILED);
}

/* A table that is missing costs the names only. */
__attribute__((format(printf, 1, 2))) static void on_message(char *fmt, ...)
{
	(void)fmt;
}

/* The table is read once, at the first name. */
static struct pci_access *table;

static struct pci_access *get_table(void)
{
	if (!table)
		table = pci_alloc();
	if (!table)
		return NULL;
	table->error = on_error;
	table->warning = on_message;
	table->debug = on_message;
	return table;
}

void names_of(const struct vfm_identity *identity, char *buf, size_t room)
{
	struct pci_access *access = identity->flags & VFM_IDENTITY_PCI ? get_table() : NULL;
	const char *name = NULL;
	char scratch[256];

	if (access)
		name = pci_lookup_name(access, scratch, sizeof(scratch),
				       PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE | PCI_LOOKUP_NO_NUMBERS |
					       PCI_LOOKUP_NO_HWDB,
				       (int)identity->pci_vendor, (int)identity->pci_device);
	snprintf(buf, room, "%s", name ? name : "");
}

void names_forget(void)
{
	if (table)
		pci_cleanup(table);
	table = NULL;
}
