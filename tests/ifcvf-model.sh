# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# What scenarios do with ifcvf on modelled functions, which differ in what the machine has: device 0
# is for the network, device 1 a disk, device 2 for the network with two pairs of queues and a control
# queue. Included with `. /files/ifcvf-model.sh`, with the interrupts to be expected of device 0 in
# $expected.

. /files/ifcvf.sh
. /files/traffic.sh
. /files/model.sh

# The function that ifcvf.sh is about.
# shellcheck disable=SC2034
vf=$(function_of 0)

interface_of() {
	interface_at 0
}

disk_of() {
	disk_at 1
}

carrier_is() {
	[ "$(cat "/sys/class/net/$(interface_of vf0)/carrier")" = "$1" ]
}

# stream NAME: some traffic, with all bytes compared.
stream() {
	ip link set "$(interface_of "$1")" up && guest frames --if "$(interface_of "$1")" --count 200 --size 1514
}

again() {
	local round
	for round in $(seq "$1"); do
		note "round $round"
		add_vf vf0 && stream vf0 && vdpa dev del vf0 || return
	done
}

unbind_busy() {
	add_vf vf0 && ip link set "$(interface_of vf0)" up && busy "$(interface_of vf0)" || return
	unbind 0
	! wait $! && [ ! -e /sys/bus/vdpa/devices/vf0 ]
}

add_disk() {
	vdpa dev add name disk0 mgmtdev "pci/$(function_of 1)"
}

add_pairs() {
	vdpa dev add name pairs0 mgmtdev "pci/$(function_of 2)"
}

# Commands for the control queue: as many pairs as there can be, and one.
set_pairs() {
	ethtool -L "$1" combined 2 && ethtool -L "$1" combined 1 && ethtool -L "$1" combined 2
}

pairs_traffic() {
	local interface
	interface=$(interface_at 2)
	if [ "$(nproc)" -gt 1 ]; then
		check "pairs0: pairs are set" set_pairs "$interface"
	fi
	check "pairs0: the interface comes up" ip link set "$interface" up
	stream_by_each "$interface"
}

# is NUMBER NAME VALUE: so the model reports.
is() {
	[ "$(counter "$1" "$2")" = "$3" ]
}

# Who resets a device may acknowledge that it exists.
reset_was_last() {
	is "$1" status 0x00 || is "$1" status 0x01
}

# What must be so whenever nothing uses the functions.
idle() {
	for number in 0 1 2; do
		check "device $number: nothing was accessed that was not mapped" is $number dma-refused 0
		check "device $number: it is reset" reset_was_last $number
		check "device $number: no queue is enabled" \
			eval "! model $number report | grep -q '^queue .* enabled true'"
		if [ -e /sys/class/iommu/dmar0 ]; then
			# Removal from the IOMMU's cache is put off.
			check "device $number: nothing is mapped" wait_for 5 is $number dma-mapped-now 0
		fi
	done
}

load stock/virtio_net
load stock/virtio_blk
load stock/ext4
load ours/vdpa
load ours/virtio_vdpa
# What is allocated once and kept is there when counting begins.
load ours/ifcvf
again 2
add_disk
add_pairs
unload ifcvf
guest counts >/tmp/before

load ours/ifcvf
check "the driver takes the function" has_driver ifcvf
check "a device is added" add_vf vf0
# shellcheck disable=SC2086,SC2154
check "the interrupts are $expected" interrupts $expected
net_traffic vf0
check "the link goes down" model 0 link down
check "the interface knows" wait_for 5 carrier_is 0
check "the link goes up" model 0 link up
check "the interface knows" wait_for 5 carrier_is 1
for name in $expected; do
	check "interrupt $name was raised" raised "$name"
done
check "the device is deleted" vdpa dev del vf0
check "there are no interrupts then" interrupts

check "the disk is added" add_disk
disk_traffic disk0
check "it is deleted" vdpa dev del disk0

check "the device with two pairs is added" add_pairs
check "how many pairs it has is shown" eval "vdpa dev config show pairs0 | grep -q 'max_vq_pairs 2'"
pairs_traffic
check "it is deleted" vdpa dev del pairs0
idle

check "added, used and deleted 5 times" again 5
check "the function is taken away during traffic" unbind_busy
idle
check "it is given back" eval "bind 0 && has_driver ifcvf"
check "a device is added once more" add_vf vf0
check "it works" stream vf0
check "the disk is added once more" add_disk
check "the driver is unloaded with both in use" unload ifcvf
idle
checks guest counts --compare /tmp/before --slack-kb 4096
check "all is unloaded" unload virtio_vdpa vdpa
