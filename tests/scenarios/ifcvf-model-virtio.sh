# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: modelled cards as what they also are, virtio devices: the kernel's own drivers use them
# debugging: no, it uses none of our modules
# modules: stock/virtio_net stock/virtio_blk stock/ext4
# tools: guest mkfs.ext4
# files: tests/model.sh tests/traffic.sh
# timeout: 300
# model:
# model: card=c5000x-net,pairs=4,mtu=9000,mac=52:54:00:00:00:02
# model: card=c5000x-blk,disk=64

. /files/traffic.sh
. /files/model.sh

# No vDPA device: they are called by the number of the model.
interface_of() {
	interface_at "$1"
}

disk_of() {
	disk_at "$1"
}

load stock/virtio_net
load stock/virtio_blk
load stock/ext4
check "the second has a pair of queues for each processor" \
	test -e "/sys/class/net/$(interface_of 1)/queues/tx-1"
check "and large frames" ip link set "$(interface_of 1)" mtu 9000
net_traffic 0
check "the second comes up" ip link set "$(interface_of 1)" up
stream_by_each "$(interface_of 1)"
checks guest frames --if "$(interface_of 1)" --count 200 --size 9014 --inflight 1
check "several queues of it were used" \
	eval "[ \$(model 1 report | grep '^queue [1357]' | grep -vc 'index 0 ') -gt 1 ]"
disk_traffic 2
for number in 0 1 2; do
	check "device $number: nothing was accessed that was not mapped" \
		test "$(counter $number dma-refused)" = 0
	check "device $number: no chain broke a rule" is_well $number
done
