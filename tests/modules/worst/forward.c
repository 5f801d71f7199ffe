// SPDX-License-Identifier: GPL-2.0
/*
 * What is done as the first device does it: its own operations are called.
 */
#include <linux/slab.h>
#include <linux/string.h>

#include "worst.h"

#define FORWARD(type, op, args, ...)						\
static type worst_##op(struct vdpa_device *vdev, args)				\
{										\
	struct vdpa_device *inner = to_worst(vdev)->inner;			\
										\
	return inner->config->op(inner, __VA_ARGS__);				\
}

#define FORWARD_PLAIN(type, op)							\
static type worst_##op(struct vdpa_device *vdev)				\
{										\
	struct vdpa_device *inner = to_worst(vdev)->inner;			\
										\
	return inner->config->op(inner);					\
}

#define ARGS(...) __VA_ARGS__

FORWARD(int, set_vq_address, ARGS(u16 idx, u64 desc, u64 driver, u64 device), idx, desc, driver, device)
FORWARD(void, set_vq_num, ARGS(u16 idx, u32 num), idx, num)
FORWARD(void, kick_vq, ARGS(u16 idx), idx)
FORWARD(void, set_vq_ready, ARGS(u16 idx, bool ready), idx, ready)
FORWARD(bool, get_vq_ready, ARGS(u16 idx), idx)
FORWARD(int, set_vq_state, ARGS(u16 idx, const struct vdpa_vq_state *state), idx, state)
FORWARD(int, get_vq_state, ARGS(u16 idx, struct vdpa_vq_state *state), idx, state)
FORWARD(u16, get_vq_size, ARGS(u16 idx), idx)
FORWARD(u32, get_vq_group, ARGS(u16 idx), idx)
FORWARD(void, get_config, ARGS(unsigned int at, void *buf, unsigned int len), at, buf, len)
FORWARD(void, set_config, ARGS(unsigned int at, const void *buf, unsigned int len), at, buf, len)
FORWARD(int, set_map, ARGS(unsigned int asid, struct vhost_iotlb *iotlb), asid, iotlb)
FORWARD(int, dma_map, ARGS(unsigned int asid, u64 iova, u64 size, u64 pa, u32 perm, void *opaque), asid, iova, size, pa, perm, opaque)
FORWARD(int, reset_map, ARGS(unsigned int asid), asid)
FORWARD(int, set_group_asid, ARGS(unsigned int group, unsigned int asid), group, asid)
FORWARD(union virtio_map, get_vq_map, ARGS(u16 idx), idx)
FORWARD(int, bind_mm, ARGS(struct mm_struct *mm), mm)

FORWARD_PLAIN(u32, get_vq_align)
FORWARD_PLAIN(u64, get_device_features)
FORWARD_PLAIN(u64, get_driver_features)
FORWARD_PLAIN(u16, get_vq_num_max)
FORWARD_PLAIN(u32, get_device_id)
FORWARD_PLAIN(u32, get_vendor_id)
FORWARD_PLAIN(int, suspend)
FORWARD_PLAIN(int, resume)
FORWARD_PLAIN(size_t, get_config_size)
FORWARD_PLAIN(u32, get_generation)
FORWARD_PLAIN(struct vdpa_iova_range, get_iova_range)
FORWARD_PLAIN(void, unbind_mm)

static u64 worst_get_backend_features(const struct vdpa_device *vdev)
{
	struct vdpa_device *inner = to_worst(vdev)->inner;

	return inner->config->get_backend_features(inner);
}

/* What the first device does not have is not there. To be freed with kfree(); NULL without memory. */
struct vdpa_config_ops *worst_make_ops(const struct vdpa_config_ops *inner)
{
	struct vdpa_config_ops *ops = kmemdup(&worst_traits, sizeof(*ops), GFP_KERNEL);

	if (!ops)
		return NULL;
	if (!inner->compat_reset)
		ops->compat_reset = NULL;
	if (!inner->dma_unmap)
		ops->dma_unmap = NULL;
#define IF_THERE(op)	do { if (inner->op) ops->op = worst_##op; } while (0)
	IF_THERE(set_vq_address);
	IF_THERE(set_vq_num);
	IF_THERE(kick_vq);
	IF_THERE(set_vq_ready);
	IF_THERE(get_vq_ready);
	IF_THERE(set_vq_state);
	IF_THERE(get_vq_state);
	IF_THERE(get_vq_size);
	IF_THERE(get_vq_group);
	IF_THERE(get_config);
	IF_THERE(set_config);
	IF_THERE(set_map);
	IF_THERE(dma_map);
	IF_THERE(reset_map);
	IF_THERE(set_group_asid);
	IF_THERE(get_vq_map);
	IF_THERE(get_vq_align);
	IF_THERE(get_device_features);
	IF_THERE(get_driver_features);
	IF_THERE(get_vq_num_max);
	IF_THERE(get_device_id);
	IF_THERE(get_vendor_id);
	IF_THERE(suspend);
	IF_THERE(resume);
	IF_THERE(get_config_size);
	IF_THERE(get_generation);
	IF_THERE(get_iova_range);
	IF_THERE(get_backend_features);
	if (worst_has_process()) {
		IF_THERE(bind_mm);
		IF_THERE(unbind_mm);
	}
#undef IF_THERE
	return ops;
}
