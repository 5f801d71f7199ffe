# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: a disk of the stock vduse, served by QEMU's storage daemon, for the kernel and for a process
# modules: ours/vdpa ours/virtio_vdpa ours/vhost_vdpa stock/vduse stock/virtio_blk stock/ext4
# tools: vdpa mkfs.ext4 qemu-storage-daemon vhost-client guest
# files: tests/traffic.sh tests/vhost-devices.sh
# timeout: 200

. /files/traffic.sh
. /files/vhost-devices.sh

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
unload virtio_vdpa
check "the disk is gone" test ! -e /dev/vda

# The server gets the files that the process has its memory from, and so can do nothing with other memory.
load ours/vhost_vdpa
check "it is a character device now" test -c "$(vhost_of disk0)"
drive_blk disk0 --basic --memfd
drive_blk disk0 --basic --memfd --seed 2
check "the device is deleted" vdpa dev del disk0
kill $daemon
wait $daemon
# The daemon leaves its device behind, with which vduse stays in use.
# What the server had open for io_uring is closed some time after its end.
check "vduse's device is destroyed" wait_for 10 guest vduse --destroy disk0
check "vduse is unloaded" unload vduse
check "the character devices and the bus are unloaded" unload vhost_vdpa vdpa
