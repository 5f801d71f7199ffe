// SPDX-License-Identifier: GPL-2.0
/*
 * What vdpa_sim.ko offers to the simulators: the values of its parameters, which
 * are defined in Rust.
 */
#include <linux/export.h>
#include <linux/types.h>

extern const int vdpasim_batch_mapping;
extern const int vdpasim_max_iotlb_entries;
extern const bool vdpasim_use_va;

EXPORT_SYMBOL_GPL(vdpasim_batch_mapping);
EXPORT_SYMBOL_GPL(vdpasim_max_iotlb_entries);
EXPORT_SYMBOL_GPL(vdpasim_use_va);
