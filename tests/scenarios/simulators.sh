# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: simulators as programs and scripts expect them: places, parameters, defaults
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# modules: stock/virtio_net stock/virtio_blk stock/vhost_iotlb
# tools: vdpa guest
# files: tests/traffic.sh
# debugging: no, what it shows of our modules there all-ours does, too
# timeout: 150

. /files/traffic.sh

# As the vDPA library of Kubernetes does it, with a device below /sys/devices, and with any other.
virtio_device_of() {
	local place
	place=$(readlink -f "/sys/bus/vdpa/devices/$1")
	[ "$(dirname "$place")" = /sys/devices ] || place=$(dirname "$place")
	ls -d "$place"/virtio[0-9]*
}

# parameter MODULE NAME VALUE
parameter() {
	local value
	value=$(cat "/sys/module/$1/parameters/$2")
	echo "$2 of $1 is '$value', not '$3'" >&2
	[ "$value" = "$3" ]
}

# The parameters of a module, with their permissions.
parameters() {
	(cd "/sys/module/$1/parameters" && stat -c '%a %n' -- *)
}

of_simulators() {
	[ "$(parameters vdpa_sim)" = "444 batch_mapping
444 max_iotlb_entries
444 use_va" ]
}

# used_by MODULE USER
used_by() {
	[ -e "/sys/module/$1/holders/$2" ]
}

# queue_type QUEUE TYPE: what vdpa(8) takes a virtqueue for.
queue_type() {
	vdpa dev vstats show net0 qidx "$1" | grep -q "queue_type $2"
}

mac_of() {
	vdpa -jp dev config show "$1" | sed -n 's/.*"mac": "\(.*\)".*/\1/p'
}

# Unicast, and administered by nobody but this machine: the second bit of the first byte.
is_made_up() {
	case $1 in
	?[26ae]:??:??:??:??:??) ;;
	*)
		echo "MAC address '$1'" >&2
		return 1
		;;
	esac
}

# comes_back NAME: frames for the interface do, one at a time and many at once.
comes_back() {
	local interface
	interface=$(interface_of "$1")
	check "$1: the interface comes up" ip link set "$interface" up
	checks guest frames --if "$interface" --count 100 --size 64 --inflight 1
	checks guest frames --if "$interface" --count 500 --size 1514 --inflight 32
}

load stock/virtio_net
load stock/virtio_blk
load stock/vhost_iotlb
guest counts >/tmp/before
load ours/vdpa
load ours/virtio_vdpa

# The module that scripts load, and whose options they set.
refused "a parameter that makes no sense" "" load ours/vdpa_sim max_iotlb_entries=1
check "the log says why" eval "dmesg | grep -q 'vdpa_sim: max_iotlb_entries=1: must be 2 or more'"
check "the common module is loaded" load ours/vdpa_sim
check "it has the parameters of the C one, to be read by all" of_simulators
check "and defaults" eval "parameter vdpa_sim batch_mapping 1 && parameter vdpa_sim use_va Y && parameter vdpa_sim max_iotlb_entries 1048576"
check "which can be changed" eval "unload vdpa_sim && load ours/vdpa_sim use_va=0 max_iotlb_entries=5000"
load ours/vdpa_sim_net
load ours/vdpa_sim_blk use_va=1 batch_mapping=0 max_iotlb_entries=7
check "the simulators use it" eval "used_by vdpa_sim vdpa_sim_net && used_by vdpa_sim vdpa_sim_blk"
refused "so it stays" "" unload vdpa_sim
check "its parameters are the network simulator's" eval "parameter vdpa_sim_net use_va N && parameter vdpa_sim_net max_iotlb_entries 5000 && parameter vdpa_sim_net batch_mapping 1"
check "which can have its own" eval "parameter vdpa_sim_blk use_va Y && parameter vdpa_sim_blk max_iotlb_entries 7 && parameter vdpa_sim_blk batch_mapping 0"

# Where devices are.
check "a network device is added" add_net net0
check "a block device is added" add_blk blk0
for name in net0 blk0; do
	check "$name: it is below /sys/devices" test -d /sys/devices/$name/virtio[0-9]*
	check "$name: its virtio device is found" virtio_device_of $name
done
refused "a name is taken that something else in /sys/devices has" "" vdpa dev add name system mgmtdev vdpasim_net
check "virtqueue 0 is for receiving" queue_type 0 rx
check "virtqueue 1 is for transmitting" queue_type 1 tx
check "virtqueue 2 is the control queue" queue_type 2 control_vq
check "the devices are deleted" eval "vdpa dev del net0 && vdpa dev del blk0"

# Without a MAC address.
check "a device is added without a MAC address" vdpa dev add name net0 mgmtdev vdpasim_net
check "it has made one up" is_made_up "$(mac_of net0)"
first=$(mac_of net0)
net_traffic net0
check "another is added" vdpa dev add name net1 mgmtdev vdpasim_net mac 00:00:00:00:00:00
check "it has another one" eval "is_made_up $(mac_of net1) && [ $(mac_of net1) != $first ]"
check "it can be given one" eval "vdpa dev set name net1 mac 52:54:00:aa:bb:cc && [ \$(mac_of net1) = 52:54:00:aa:bb:cc ]"
check "they are deleted" eval "vdpa dev del net0 && vdpa dev del net1"
# VIRTIO_NET_F_MAC is not offered. The driver tells the device by the control queue, or cannot.
check "one is added that is not to have any, with a control queue" \
	vdpa dev add name net0 mgmtdev vdpasim_net device_features 0x300830008
check "it says of none" eval "[ -z '$(mac_of net0)' ]"
net_traffic net0
check "it is deleted" vdpa dev del net0
check "one is added that is not to have any, without control queue" \
	vdpa dev add name net0 mgmtdev vdpasim_net device_features 0x300010008
comes_back net0
check "it is deleted" vdpa dev del net0
nothing_left vdpa_sim_net vdpa_sim_blk vdpa_sim virtio_vdpa vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
