# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: ifcvf on modelled cards behind an IOMMU: all that is mapped is unmapped
# modules: ours/vdpa ours/virtio_vdpa ours/ifcvf stock/virtio_net stock/virtio_blk stock/ext4
# tools: vdpa guest mkfs.ext4 ethtool
# files: tests/ifcvf.sh tests/traffic.sh tests/model.sh tests/ifcvf-model.sh
# cpus: 3
# timeout: 300
# model:
# model: card=c5000x-blk,disk=64
# model: card=c5000x-net,pairs=2,mac=52:54:00:00:00:03
# iommu: intel
# append: initcall_blacklist=virtio_pci_driver_init intel_iommu=on

export expected="0 1 config"
. /files/ifcvf-model.sh
