# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: ifcvf on QEMU's network device: one interrupt
# debugging: no, ifcvf-model-iommu does the same there
# modules: ours/vdpa ours/virtio_vdpa ours/ifcvf ours/bar_shim stock/virtio_net
# tools: vdpa guest
# files: tests/ifcvf.sh tests/ifcvf-qemu-net.sh
# cpus: 1
# qemu: -netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:tests/http-numbers.sh
# qemu: -device virtio-net-pci,netdev=n0,disable-legacy=on,iommu_platform=on,romfile=,addr=5

. /files/ifcvf-qemu-net.sh

qemu_net dev-irq
