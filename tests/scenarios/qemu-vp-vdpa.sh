# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: virtio devices of QEMU's behind an IOMMU as vDPA devices, for programs and for QEMU's guest
# debugging: no, an emulator in an emulator takes too long there
# modules: ours/vdpa ours/vhost_vdpa ours/vp_vdpa
# modules: stock/vhost_iotlb stock/virtio_net stock/virtio_blk stock/ext4 stock/kvm_amd
# tools: vdpa vhost-client guest qemu-system-x86_64
# files: tests/vp-vdpa.sh tests/vhost-devices.sh
# files: tests/nested/qemu.sh tests/nested/init.sh tests/nested/fetch.sh tests/nested/blk.sh
# files: {kernel}/vmlinux /usr/share/seabios/bios-256k.bin
# files: /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/pvh.bin /usr/share/qemu/kvmvapic.bin
# cpus: 2
# memory: 2G
# timeout: 300
# append: intel_iommu=on
# qemu: -machine q35 -device intel-iommu,caching-mode=on,device-iotlb=on
# qemu: -netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:tests/http-numbers.sh
# qemu: -device virtio-net-pci,netdev=n0,packed=on,page-per-vq=on,iommu_platform=on,disable-legacy=on,romfile=,addr=5
# qemu: -drive if=none,id=d0,format=raw,file.driver=null-co,file.size=134217728,file.read-zeroes=on,snapshot=on
# qemu: -device virtio-blk-pci,drive=d0,num-queues=2,packed=on,page-per-vq=on,iommu_platform=on,disable-legacy=on,addr=6

. /files/vhost-devices.sh
. /files/qemu.sh
. /files/vp-vdpa.sh
# shellcheck disable=SC2154 # Of vp-vdpa.sh.
: "$pci"

load stock/vhost_iotlb
inner_kvm
inner_archive fetch virtio_net
inner_archive blk virtio_blk ext4
load ours/vdpa
load ours/vhost_vdpa
load ours/vp_vdpa
give 5 6
unload vp_vdpa
guest counts >/tmp/before
load ours/vp_vdpa
check "a network device is added" add net0 5
check "a disk is added" add disk0 6
disk=$(vhost_of disk0)
for memory in --anon --memfd; do
	for rings in "" --packed "--packed --indirect"; do
		# shellcheck disable=SC2086 # These are several words.
		checks vhost-client blk --basic --dev "$disk" --count 300 $rings $memory
	done
done
for rings in "" --packed; do
	for only in mappings-survive-a-reset started-at-once; do
		# shellcheck disable=SC2086 # It may be none.
		checks vhost-client states --only $only --dev "$disk" $rings
	done
	for only in queue-reset queue-reset-and-forgotten; do
		# shellcheck disable=SC2086 # It may be none.
		checks vhost-client states --only $only --ring-reset --dev "$disk" $rings
	done
done
check "the log says why" eval "dmesg | grep -q 'disk0: virtqueue 0: not started: it was stopped before'"

# All memory of the inner guest is pinned.
ulimit -l unlimited
checks inner fetch -netdev "vhost-vdpa,id=n0,vhostdev=$(vhost_of net0)" \
	-device virtio-net-pci,netdev=n0,packed=on,romfile=
checks inner blk -device "vhost-vdpa-device-pci,vhostdev=$disk"

for use in opened owned running; do
	gone disk0 $use sh -c "echo 0000:00:06.0 >$pci/drivers/vp-vdpa/unbind"
	check "its function is given back" sh -c "echo 0000:00:06.0 >$pci/drivers_probe"
	check "a disk is added" add disk0 6
done
gone net0 owned rmmod vp_vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
check "all is unloaded" unload vhost_vdpa vdpa
