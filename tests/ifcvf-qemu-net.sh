# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# What scenarios do with ifcvf on QEMU's own network device, which differ in what the machine has.
# Included with `. /files/ifcvf-qemu-net.sh`.

. /files/ifcvf.sh

says() {
	dmesg | grep -q "$1"
}

unbind_busy() {
	local received before
	add_vf vf0 && get_lease "$(interface)" || return
	received=/sys/class/net/$(interface)/statistics/rx_bytes
	before=$(cat "$received")
	wget -q -O /dev/null http://10.0.2.100/ &
	wait_for 10 eval "[ \$(cat $received) -gt $((before + 100000)) ]" || return
	unbind_vf
	kill $! 2>/dev/null
	# It was not done.
	! wait $! && [ ! -e /sys/bus/vdpa/devices/vf0 ]
}

# qemu_net INTERRUPT...: all of it, with these interrupts to be expected.
qemu_net() {
	local name
	load stock/virtio_net
	disguise
	load ours/vdpa
	load ours/virtio_vdpa
	# What is allocated once and kept is there when counting begins.
	load ours/ifcvf
	add_vf vf0
	ip link set "$(interface)" up
	unload ifcvf
	guest counts >/tmp/before

	load ours/ifcvf
	check "the driver takes the function" has_driver ifcvf
	check "it has a management device" eval "vdpa mgmtdev show | grep -q 'supported_classes net'"
	refused "features that it does not have are refused" "" \
		add_vf vf0 device_features 0x400000000
	check "the log says which" says "features 0x400000000 cannot be offered"
	check "a device is added" add_vf vf0
	refused "a second one is refused" "busy" add_vf vf1
	check "the log says why" says "is a vDPA device already"
	check "the interrupts are $*" interrupts "$@"
	user_network vf0
	for name; do
		case $name in
		2 | config) ;;
		*) check "interrupt $name was raised" raised "$name" ;;
		esac
	done
	check "the device is deleted" vdpa dev del vf0
	check "there are no interrupts then" interrupts

	# VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_VERSION_1, VIRTIO_NET_F_STATUS, VIRTIO_NET_F_MAC
	check "another is added, with four features" \
		add_vf vf0 device_features 0x300010020
	check "those are the ones that the driver accepts" \
		eval "vdpa dev config show vf0 | grep -q 'negotiated_features MAC STATUS VERSION_1 ACCESS_PLATFORM'"
	user_network vf0
	check "it is deleted" vdpa dev del vf0

	check "the function is taken away during traffic" unbind_busy
	check "and given back" eval "bind_vf && has_driver ifcvf"
	check "a device is added once more" add_vf vf0
	user_network vf0
	check "the driver is unloaded with the device in use" unload ifcvf
	checks guest counts --compare /tmp/before --slack-kb 4096
	check "the fixture is unloaded" unload bar_shim
	check "and what else there was" unload virtio_vdpa vdpa
}
