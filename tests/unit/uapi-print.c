/* SPDX-License-Identifier: MIT */
/* Prints the numbers and layouts of uapi-list.h as installed kernel headers define them; see kernel-headers-check.sh.
 */
#include <stdio.h>

/* iommufd's spelling; ours is the one of vfio.h. */
#define __reserved reserved
#define __reserved2 reserved2
#include <linux/iommufd.h>
#include <linux/version.h>
#include <linux/vfio.h>

#define UAPI_KERNEL LINUX_VERSION_CODE

#include "uapi-table.h"

int main(void)
{
	for (size_t i = 0; i < UAPI_ENTRIES; i++)
		printf("%s 0x%llx\n", uapi_entries[i].name, uapi_entries[i].number);
	return 0;
}
