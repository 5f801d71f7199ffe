# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: ifcvf in C on our bus and transport
# debugging: no, the modules in C are what it is about
# modules: ours/vdpa ours/virtio_vdpa c/ifcvf ours/bar_shim stock/virtio_net
# tools: vdpa
# files: tests/ifcvf.sh
# qemu: -netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:tests/http-numbers.sh
# qemu: -device virtio-net-pci,netdev=n0,disable-legacy=on,iommu_platform=on,romfile=,addr=5

. /files/ifcvf.sh

load stock/virtio_net
disguise
for module in ours/vdpa ours/virtio_vdpa c/ifcvf; do
	load "$module"
done
check "the driver takes the function" has_driver ifcvf
check "a device is added" add_vf vf0
user_network vf0
check "it is deleted" vdpa dev del vf0
check "another is added" add_vf vf0
user_network vf0
check "the driver is unloaded with the device in use" unload ifcvf
check "all is unloaded" unload bar_shim virtio_vdpa vdpa
