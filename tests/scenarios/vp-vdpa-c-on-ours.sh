# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: vp_vdpa in C on our bus and transport
# debugging: no, the modules in C are what it is about
# modules: ours/vdpa ours/virtio_vdpa c/vp_vdpa stock/virtio_net
# tools: vdpa
# files: tests/vp-vdpa-mixed.sh tests/vp-vdpa.sh tests/ifcvf.sh
# qemu: -netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:tests/http-numbers.sh
# qemu: -device virtio-net-pci,netdev=n0,iommu_platform=on,disable-legacy=on,romfile=,addr=5

. /files/vp-vdpa-mixed.sh
mixed ours/vdpa ours/virtio_vdpa c/vp_vdpa
