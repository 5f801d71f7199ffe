# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# QEMU's network device through vp_vdpa, where any of the modules may be the one in C. Included with
# `. /files/vp-vdpa-mixed.sh`; who includes it has in its first lines
#
#   # qemu: -netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:tests/http-numbers.sh
#   # qemu: -device virtio-net-pci,netdev=n0,iommu_platform=on,disable-legacy=on,romfile=,addr=5

. /files/ifcvf.sh
. /files/vp-vdpa.sh

interface() {
	below 5 net
}

# mixed BUS TRANSPORT DRIVER: with these modules, each of which may be the one in C.
mixed() {
	local module
	load stock/virtio_net
	for module; do
		load "$module"
	done
	give 5
	check "the driver takes the function" test "$(driver_of 5)" = vp-vdpa
	check "a device is added" add vp0 5
	user_network vp0
	check "it is deleted" vdpa dev del vp0
	check "another is added" add vp0 5
	user_network vp0
	check "the driver is unloaded with the device in use" unload vp_vdpa
	check "all is unloaded" unload virtio_vdpa vdpa
}
