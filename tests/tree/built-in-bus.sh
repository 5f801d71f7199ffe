# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: a kernel with our bus built in: drivers in C and in Rust
# modules: stock/vduse stock/vp_vdpa stock/virtio_vdpa stock/vhost_vdpa
# modules: stock/vdpa_sim stock/vdpa_sim_net stock/vdpa_sim_blk stock/vdpa_null stock/vdpa_test stock/ifcvf
# modules: stock/virtio_net stock/virtio_blk
# tools: vdpa guest qemu-storage-daemon
# files: tests/ifcvf.sh tests/vduse.sh
# append: kunit.enable=0
# timeout: 200
# qemu: -netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:tests/http-numbers.sh
# qemu: -device virtio-net-pci,netdev=n0,disable-legacy=on,iommu_platform=on,romfile=,addr=5
#
# All of these modules are of the kernel's own build, `stock' or not: see tools/kernel-tree,
# which has had its suites run.

. /files/ifcvf.sh
. /files/vduse.sh

# Whether what is written to a disk is there when it is read again.
keeps() {
	[ -b "$1" ] &&
		dd if=/dev/urandom of=/tmp/data bs=1M count=8 2>/dev/null &&
		dd if=/tmp/data of="$1" bs=1M conv=fsync 2>/dev/null || return
	echo 3 >/proc/sys/vm/drop_caches
	dd if="$1" bs=1M count=8 2>/dev/null | cmp - /tmp/data
}

check "the bus is built in" eval "[ -d /sys/bus/vdpa ] && ! grep -q '^vdpa ' /proc/modules"
check "it has its netlink interface" vdpa mgmtdev show

load stock/virtio_blk
load stock/virtio_net
check "our virtio_vdpa is loaded" load stock/virtio_vdpa

# VDUSE, in C.
check "vduse is loaded" load stock/vduse
serve_disk num-queues=1
check "the disk appears" wait_for 20 test -e /dev/vda
check "the disk keeps what is written" keeps /dev/vda
end_disk

# vp_vdpa, in C, on QEMU's network device: it drives none that it is not told to. The kernel's own driver is built in.
# shellcheck disable=SC2154 # Of ifcvf.sh.
echo "$vf" >/sys/bus/pci/drivers/virtio-pci/unbind
check "vp_vdpa is loaded" load stock/vp_vdpa
echo vp-vdpa >"/sys/bus/pci/devices/$vf/driver_override"
echo "$vf" >/sys/bus/pci/drivers_probe
check "it takes the function" has_driver vp-vdpa
check "a device is added" add_vf vf0
user_network vf0
check "it is deleted" vdpa dev del vf0
check "vp_vdpa is unloaded" unload vp_vdpa

# Ours, over the same bus.
for module in vhost_vdpa vdpa_sim vdpa_sim_net vdpa_sim_blk ifcvf vdpa_null vdpa_test; do
	check "our $module is loaded" load stock/$module
	check "which is ours" eval "strings /modules/stock/$module.ko | grep -q '^author=rust-vdpa'"
done
check "a block device is added" vdpa dev add name blk0 mgmtdev vdpasim_blk
check "its disk keeps what is written" keeps /dev/vda
check "a network device is added" vdpa dev add name net0 mgmtdev vdpasim_net mac 52:54:00:12:34:56
interface=$(ls /sys/bus/vdpa/devices/net0/virtio*/net)
check "its interface comes up" ip link set "$interface" up
checks guest frames --if "$interface" --count 200 --size 64 --inflight 8
check "both are deleted" eval "vdpa dev del blk0 && vdpa dev del net0"
check "all is unloaded" unload vdpa_test vdpa_null ifcvf vdpa_sim_blk vdpa_sim_net vdpa_sim vhost_vdpa virtio_vdpa
