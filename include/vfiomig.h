/* SPDX-License-Identifier: MIT */
/* Umbrella header of libvfiomig. */
#ifndef VFIOMIG_H
#define VFIOMIG_H

#include <vfiomig/bitmap.h>
#include <vfiomig/context.h>
#include <vfiomig/device.h>
#include <vfiomig/dirty.h>
#include <vfiomig/iommu.h>
#include <vfiomig/iova.h>
#include <vfiomig/lend.h>
#include <vfiomig/migration.h>
#include <vfiomig/quirks.h>
#include <vfiomig/stream.h>
#include <vfiomig/transfer.h>

#endif
