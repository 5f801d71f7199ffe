# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: our ifcvf on the stock bus and transport
# debugging: no, the modules in C are what it is about
# modules: stock/vdpa stock/virtio_vdpa ours/ifcvf ours/bar_shim stock/virtio_net
# tools: vdpa
# files: tests/ifcvf.sh
# qemu: -netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:tests/http-numbers.sh
# qemu: -device virtio-net-pci,netdev=n0,disable-legacy=on,iommu_platform=on,romfile=,addr=5

. /files/ifcvf.sh
mixed stock/vdpa stock/virtio_vdpa ours/ifcvf
