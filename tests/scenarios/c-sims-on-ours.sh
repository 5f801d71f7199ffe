# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: the C simulators on our bus and transport, and one of each kind
# debugging: no, the modules in C are what it is about
# modules: ours/vdpa ours/virtio_vdpa c/vdpa_sim_net c/vdpa_sim_blk ours/vdpa_sim_blk
# modules: stock/virtio_net stock/virtio_blk stock/ext4
# tools: vdpa mkfs.ext4 guest
# files: tests/traffic.sh
# timeout: 120

. /files/traffic.sh

load ours/vdpa
load ours/virtio_vdpa
load stock/virtio_net
load stock/virtio_blk
load stock/ext4
load c/vdpa_sim_net
load c/vdpa_sim_blk
# Its devices are in /sys/devices, where some names are taken. A stack trace would be a failure.
for name in system virtual vdpasim_net; do
	refused "the name $name is taken" "error -17" vdpa dev add name $name mgmtdev vdpasim_net
done
# The C simulator compares MAC addresses up to the first byte that is 0.
check "a network device is added" add_net net0 52:54:11:12:34:56
check "a block device is added" add_blk blk0
net_traffic net0
disk_traffic blk0
check "the network device is deleted" vdpa dev del net0
check "the block device is deleted" vdpa dev del blk0

# The common module of the C simulators has nothing that ours uses, which does without.
check "the C simulator of a disk is unloaded" unload vdpa_sim_blk
check "ours is loaded beside the other one" load ours/vdpa_sim_blk
check "it has its own parameters" eval "[ \$(cat /sys/module/vdpa_sim_blk/parameters/max_iotlb_entries) = 1048576 ]"
check "the common module is not used by it" test ! -e /sys/module/vdpa_sim/holders/vdpa_sim_blk
check "a block device of ours is added" add_blk blk0
check "a network device in C is added" add_net net0 52:54:11:12:34:56
disk_traffic blk0
net_traffic net0
nothing_left vdpa_sim_net vdpa_sim_blk vdpa_sim virtio_vdpa vdpa
