// SPDX-License-Identifier: GPL-2.0
/*
 * Adding to a table of mappings, for the modules that make one.
 */
#include <linux/interval_tree_generic.h>
#include <linux/list.h>
#include <linux/vhost_iotlb.h>

void rust_vdpa_iotlb_add(struct vhost_iotlb *iotlb,
			 struct vhost_iotlb_map *map);

#define MAP_START(map) ((map)->start)
#define MAP_LAST(map) ((map)->last)

INTERVAL_TREE_DEFINE(struct vhost_iotlb_map, rb, u64, __subtree_last,
		     MAP_START, MAP_LAST, static __maybe_unused, iotlb_tree)

/*
 * vhost_iotlb_add_range_ctx() for a mapping that the caller has allocated, with
 * kmalloc(): it is vhost_iotlb_map_free() that frees it. No range is looked at,
 * nor how many there are.
 */
void rust_vdpa_iotlb_add(struct vhost_iotlb *iotlb,
			 struct vhost_iotlb_map *map)
{
	iotlb_tree_insert(map, &iotlb->root);
	list_add_tail(&map->link, &iotlb->list);
	iotlb->nmaps++;
}
