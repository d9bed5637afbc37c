/* SPDX-License-Identifier: MIT */
/* Prints the numbers and layouts of uapi-list.h as installed kernel headers define them; see kernel-headers-check.sh.
 */
#include <stdio.h>

/* iommufd's spelling; ours is the one of vfio.h. */
#define __reserved reserved
#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "uapi-table.h"

int main(void)
{
	for (size_t i = 0; i < UAPI_ENTRIES; i++) {
		unsigned long long number;

		if (uapi_number(&uapi_entries[i], &number))
			printf("%s 0x%llx\n", uapi_entries[i].name, number);
		else
			printf("%s absent\n", uapi_entries[i].name);
	}
	return 0;
}
