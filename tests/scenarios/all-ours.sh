# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: all ours: traffic, sysfs, management
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk ours/vdpa_bounce
# modules: stock/virtio_net stock/virtio_blk stock/ext4 stock/vhost_iotlb
# tools: vdpa mkfs.ext4 guest
# files: tests/traffic.sh
# timeout: 150

. /files/traffic.sh

driver_of() {
	basename "$(readlink "/sys/bus/vdpa/devices/$1/driver" || echo none)"
}

is_bound() {
	[ "$(driver_of "$1")" = "$2" ]
}

load stock/virtio_net
load stock/virtio_blk
load stock/ext4
load stock/vhost_iotlb
guest counts >/tmp/before
load ours/vdpa
load ours/virtio_vdpa
refused "a parameter that makes no sense" "" load ours/vdpa_sim_net max_iotlb_entries=1
check "the log says why" eval "dmesg | grep -q 'max_iotlb_entries=1: must be 2 or more'"
load ours/vdpa_sim_net
load ours/vdpa_sim_blk shared_backend=y
parameters=/sys/module/vdpa_sim_blk/parameters
check "parameters can be read" eval "[ \$(cat $parameters/shared_backend)\$(cat $parameters/use_va) = YY ]"
check "and have their defaults" eval "[ \$(cat $parameters/batch_mapping) = 1 -a \$(cat $parameters/max_iotlb_entries) = 1048576 ]"
check "a network device is added" add_net net0
check "a block device is added" add_blk blk0
net_traffic net0
disk_traffic blk0
load ours/vdpa_bounce
own_traffic own0
interface=$(interface_of net0)
ip link set "$interface" down

check "a device is taken from its driver" eval "echo net0 >/sys/bus/vdpa/drivers/virtio_vdpa/unbind"
check "it has none" is_bound net0 none
check "it is given back" eval "echo net0 >/sys/bus/vdpa/drivers/virtio_vdpa/bind"
check "and bound" is_bound net0 virtio_vdpa
check "another driver is demanded" eval "echo vhost_vdpa >/sys/bus/vdpa/devices/net0/driver_override"
echo net0 >/sys/bus/vdpa/drivers/virtio_vdpa/unbind
check "so this one does not take it" eval "! echo net0 >/sys/bus/vdpa/drivers_probe || is_bound net0 none"
check "the demand is withdrawn" eval "echo >/sys/bus/vdpa/devices/net0/driver_override"
check "and now it does" eval "echo net0 >/sys/bus/vdpa/drivers_probe && is_bound net0 virtio_vdpa"

# The second time everything starts from the state that the first left.
net_traffic net0
check "a MAC address is set" vdpa dev set name net0 mac 52:54:00:aa:bb:cc
check "it is shown" eval "vdpa dev config show net0 | grep -q 52:54:00:aa:bb:cc"

check "the transport is unloaded with devices bound to it" unload virtio_vdpa
check "the network device remains" eval "vdpa dev show net0 | grep -q 'max_vqs 3'"
check "the simulators are unloaded with their devices there" unload vdpa_sim_net vdpa_sim_blk vdpa_sim
check "which are gone" eval "! vdpa dev show | grep -q ."
nothing_left vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
