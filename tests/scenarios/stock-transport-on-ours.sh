# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: the stock transport on our bus, with our simulators
# debugging: no, what it shows of our modules there all-ours does, too
# modules: ours/vdpa stock/virtio_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk ours/vdpa_bounce
# modules: stock/virtio_net stock/virtio_blk stock/ext4
# tools: vdpa mkfs.ext4 guest
# files: tests/traffic.sh
# timeout: 120

. /files/traffic.sh

load ours/vdpa
load stock/virtio_vdpa
load stock/virtio_net
load stock/virtio_blk
load stock/ext4
load ours/vdpa_sim_net
load ours/vdpa_sim_blk
load ours/vdpa_bounce
check "a network device is added" add_net net0
check "a block device is added" add_blk blk0
net_traffic net0
disk_traffic blk0
own_traffic own0
check "the network device is deleted" vdpa dev del net0
check "the block device is deleted" vdpa dev del blk0
nothing_left vdpa_sim_net vdpa_sim_blk vdpa_sim virtio_vdpa vdpa
