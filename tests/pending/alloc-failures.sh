# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: modules and devices come and go while each allocation in turn fails
# debugging: only
# allocations: fail
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# modules: stock/vhost_iotlb stock/virtio_net stock/virtio_blk
# tools: vdpa guest
# timeout: 300

load stock/vhost_iotlb
load stock/virtio_net
load stock/virtio_blk

for module in vdpa virtio_vdpa vdpa_sim_net vdpa_sim_blk; do
	checks guest failures --module /modules/ours/$module.ko
	check "$module is loaded after that" load ours/$module
done
for mgmtdev in vdpasim_net vdpasim_blk; do
	checks guest failures --mgmtdev $mgmtdev
done
check "all is unloaded" unload virtio_vdpa vdpa_sim_net vdpa_sim_blk vdpa
