# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: a modelled card on a network, behind an IOMMU: for this kernel, and for QEMU's guest
# debugging: no, an emulator in an emulator takes too long there
# modules: ours/vdpa ours/virtio_vdpa ours/vhost_vdpa ours/ifcvf
# modules: stock/vhost_iotlb stock/virtio_net stock/kvm_amd
# tools: vdpa guest qemu-system-x86_64
# files: tests/ifcvf.sh tests/model.sh tests/nested/qemu.sh tests/nested/init.sh tests/nested/fetch.sh
# files: {kernel}/vmlinux /usr/share/seabios/bios-256k.bin
# files: /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/pvh.bin /usr/share/qemu/kvmvapic.bin
# cpus: 3
# memory: 2G
# timeout: 300
# model: net=listen:{dir}/net
# iommu: intel
# append: initcall_blacklist=virtio_pci_driver_init intel_iommu=on
# qemu: -netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:tests/http-numbers.sh
# qemu: -netdev hubport,id=h0,hubid=0,netdev=n0
# qemu: -netdev stream,id=n1,server=off,addr.type=unix,addr.path={dir}/net
# qemu: -netdev hubport,id=h1,hubid=0,netdev=n1

. /files/ifcvf.sh
. /files/model.sh
. /files/qemu.sh

export vf
vf=$(function_of 0)

nothing_mapped() {
	[ "$(counter 0 dma-mapped-now)" = 0 ]
}

nothing_wrong() {
	check "nothing is mapped any more" wait_for 5 nothing_mapped
	check "nothing was accessed that was not mapped" test "$(counter 0 dma-refused)" = 0
	check "no chain broke a rule" is_well 0
}

load stock/virtio_net
load stock/vhost_iotlb
inner_kvm
inner_archive fetch virtio_net
load ours/vdpa
load ours/ifcvf
load ours/virtio_vdpa
add_vf vf0
ip link set "$(interface)" up
unload ifcvf virtio_vdpa
guest counts >/tmp/before

load ours/virtio_vdpa
load ours/ifcvf
check "a device is added" add_vf vf0
user_network vf0
check "it is deleted" vdpa dev del vf0
nothing_wrong
check "the transport is unloaded" unload virtio_vdpa

load ours/vhost_vdpa
check "a device is added" add_vf vf0
# All memory of the inner guest is pinned.
ulimit -l unlimited
checks inner fetch -netdev "vhost-vdpa,id=n0,vhostdev=$(vhost_of vf0)" \
	-device virtio-net-pci,netdev=n0,romfile=
check "it is deleted" vdpa dev del vf0
nothing_wrong
check "all is unloaded" unload ifcvf vhost_vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
check "the bus is unloaded" unload vdpa
