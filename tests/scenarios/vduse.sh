# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: a disk of the stock vduse, served by QEMU's storage daemon, on our bus and transport
# modules: ours/vdpa ours/virtio_vdpa stock/vduse stock/virtio_blk stock/ext4
# tools: vdpa mkfs.ext4 qemu-storage-daemon guest
# files: tests/traffic.sh
# memory: 2G
# timeout: 200

. /files/traffic.sh

load ours/vdpa
load ours/virtio_vdpa
load stock/virtio_blk
load stock/ext4
load stock/vduse

truncate -s 64M /tmp/image
qemu-storage-daemon \
	--blockdev driver=file,node-name=file,filename=/tmp/image \
	--export type=vduse-blk,id=export,node-name=file,name=disk0,writable=on,num-queues=1,serial=rust-vdpa \
	>/tmp/daemon.log 2>&1 &
daemon=$!
check "the server is there" wait_for 20 test -e /dev/vduse/disk0
check "a device is made of it" vdpa dev add name disk0 mgmtdev vduse
check "it is shown" eval "vdpa dev show disk0 | grep -q 'type block mgmtdev vduse'"
check "the disk appears" wait_for 20 test -e /dev/vda
check "the disk has the serial number that the server gives it" eval "[ \$(cat /sys/block/vda/serial) = rust-vdpa ]"
disk_traffic disk0
check "the device is deleted" vdpa dev del disk0
check "the disk is gone" test ! -e /dev/vda
kill $daemon
wait $daemon
# The daemon leaves its device behind, with which vduse stays in use.
check "vduse is unloaded" eval "guest vduse --destroy disk0 && unload vduse"
check "the transport and the bus are unloaded" unload virtio_vdpa vdpa
