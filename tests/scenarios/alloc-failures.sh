# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: modules and devices come and go while one allocation after the other fails
# debugging: only
# allocations: fail
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# modules: stock/vhost_iotlb stock/virtio_net
# tools: vdpa guest
# timeout: 600

load stock/vhost_iotlb
load stock/virtio_net

# module NAME: most of what can fail when it is loaded is the kernel's own.
module() {
	checks guest failures --module "/modules/ours/$1.ko" --every 7
	check "$1 is loaded after that" load "ours/$1"
}

module vdpa
module vdpa_sim_net
module vdpa_sim_blk
checks guest failures --mgmtdev vdpasim_net
# Its 128 MiB come piece by piece, each of which can fail, and are cleared each time.
checks guest failures --mgmtdev vdpasim_blk --every 29
# With a driver, of which again most is not from here. virtio_net says which processors use which queue
# before it registers its interface, and if that fails nobody takes it back. (virtio_blk is left out: the
# kernel prints a stack trace where it gets no cache for its requests.)
module virtio_vdpa
lost_by __netif_set_xps_queue
checks guest failures --mgmtdev vdpasim_net --every 11
check "all is unloaded" unload virtio_vdpa vdpa_sim_net vdpa_sim_blk vdpa_sim vdpa
