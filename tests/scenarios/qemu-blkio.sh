# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: QEMU with libblkio on our block simulator: its guest keeps a file system there
# debugging: no, an emulator in an emulator takes too long there
# modules: ours/vdpa ours/vhost_vdpa ours/virtio_vdpa ours/vdpa_sim_blk stock/9p stock/9pnet_virtio
# modules: stock/vhost_iotlb stock/virtio_blk stock/ext4 stock/kvm_amd
# tools: vdpa guest
# files: tests/traffic.sh tests/others.sh tests/nested/qemu.sh tests/nested/init.sh tests/nested/blk.sh
# files: {kernel}/vmlinux /usr/share/seabios/bios-256k.bin
# files: /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/pvh.bin /usr/share/qemu/kvmvapic.bin
# others: yes
# memory: 2G
# timeout: 300

. /files/others.sh
. /files/traffic.sh
. /files/qemu.sh

check "programs of others can be read" mount_others
# The one of the others finds libblkio.
printf '#!/bin/sh\nexec chroot /others qemu-system-x86_64 "$@"\n' >/bin/qemu-system-x86_64
chmod 755 /bin/qemu-system-x86_64
version qemu-system-x86_64 --version
package qemu-block-extra
load stock/vhost_iotlb
load stock/virtio_blk
load stock/ext4
inner_kvm
inner_archive blk virtio_blk ext4
guest counts >/tmp/before
load ours/vdpa
load ours/vhost_vdpa
load ours/vdpa_sim_blk
check "a block device is added" add_blk blk0
checks inner blk -object memory-backend-memfd,id=memory,size=128M,share=on -machine memory-backend=memory \
	-blockdev "driver=virtio-blk-vhost-vdpa,node-name=disk,path=$(vhost_of blk0),cache.direct=on" \
	-device virtio-blk-pci,drive=disk

# What it wrote is on the device.
check "it is taken from vhost_vdpa" eval "echo blk0 >/sys/bus/vdpa/drivers/vhost_vdpa/unbind"
load ours/virtio_vdpa
mkdir -p /mnt
check "what the inner guest left can be mounted" mount -t ext4 "/dev/$(disk_of blk0)" /mnt
check "its files have their contents" same_sums /mnt
check "it is unmounted" umount /mnt
check "the device is deleted" vdpa dev del blk0
check "the simulator is unloaded" unload_simulators
nothing_left virtio_vdpa vhost_vdpa vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
