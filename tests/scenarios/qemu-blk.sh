# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: QEMU on our block simulator: its guest keeps a file system there
# debugging: no, an emulator in an emulator takes too long there
# modules: ours/vdpa ours/vhost_vdpa ours/virtio_vdpa ours/vdpa_sim_blk
# modules: stock/vhost_iotlb stock/virtio_blk stock/ext4
# modules: stock/kvm_amd
# tools: vdpa guest qemu-system-x86_64
# files: tests/traffic.sh tests/nested/qemu.sh tests/nested/init.sh tests/nested/blk.sh
# files: {kernel}/vmlinux /usr/share/seabios/bios-256k.bin
# files: /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/pvh.bin /usr/share/qemu/kvmvapic.bin
# memory: 2G
# timeout: 300

. /files/traffic.sh
. /files/qemu.sh

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
checks inner blk -device "vhost-vdpa-device-pci,vhostdev=$(vhost_of blk0)"

# The device keeps its contents when another driver takes it.
check "it is taken from vhost_vdpa" eval "echo blk0 >/sys/bus/vdpa/drivers/vhost_vdpa/unbind"
load ours/virtio_vdpa
mkdir -p /mnt
check "what the inner guest left can be mounted" mount -t ext4 "/dev/$(disk_of blk0)" /mnt
check "its files have their contents" same_sums /mnt
check "it is unmounted" umount /mnt
check "the device is deleted" vdpa dev del blk0
nothing_left vdpa_sim_blk vdpa_sim virtio_vdpa vhost_vdpa vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
