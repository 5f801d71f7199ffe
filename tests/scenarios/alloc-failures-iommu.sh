# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: memory is mapped in a platform's IOMMU while each allocation in turn fails
# debugging: only
# allocations: fail
# modules: ours/vdpa ours/vhost_vdpa ours/vp_vdpa
# tools: vdpa guest vhost-client
# files: tests/vhost-devices.sh tests/vp-vdpa.sh
# append: intel_iommu=on
# qemu: -machine q35 -device intel-iommu,caching-mode=on,device-iotlb=on
# qemu: -drive if=none,id=d0,format=raw,file.driver=null-co,file.size=134217728,file.read-zeroes=on,snapshot=on
# qemu: -device virtio-blk-pci,drive=d0,iommu_platform=on,disable-legacy=on,addr=6

. /files/vhost-devices.sh
. /files/vp-vdpa.sh

load ours/vdpa
load ours/vhost_vdpa
load ours/vp_vdpa
give 6
check "a disk is added" add disk0 6
# Not closing: the kernel warns where it has no memory to give the device back to its own translation.
for step in map map-batch unmap unmap-half; do
	checks vhost-client failures --dev "$(vhost_of disk0)" --anon --only $step
done
check "it works afterwards" vhost-client blk --basic --dev "$(vhost_of disk0)" --count 100
check "it is deleted" vdpa dev del disk0
check "all is unloaded" unload vp_vdpa vhost_vdpa vdpa
