# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: a disk of the stock vduse, served by QEMU's storage daemon, for the kernel and for a process
# modules: ours/vdpa ours/virtio_vdpa ours/vhost_vdpa stock/vduse stock/virtio_blk stock/ext4
# tools: vdpa mkfs.ext4 qemu-storage-daemon vhost-client guest
# files: tests/traffic.sh tests/vduse.sh tests/vhost-devices.sh
# timeout: 200

. /files/traffic.sh
. /files/vduse.sh
. /files/vhost-devices.sh

# held STATUS: what the process that held memory has said, which ended so.
held() {
	cat /tmp/bounce
	return "$1"
}

load ours/vdpa
load ours/virtio_vdpa
load stock/virtio_blk
load stock/ext4
load stock/vduse

serve_disk num-queues=1,serial=rust-vdpa
check "it is shown" eval "vdpa dev show disk0 | grep -q 'type block mgmtdev vduse'"
check "the disk appears" wait_for 20 test -e /dev/vda
check "the disk has the serial number that the server gives it" eval "[ \$(cat /sys/block/vda/serial) = rust-vdpa ]"
disk_traffic disk0
# What that was copied through is held until the device is a process's.
# shellcheck disable=SC2154 # Set by serve_disk.
vhost-client bounce --name disk0 --server "$daemon" --timeout 60 >/tmp/bounce &
bounce=$!
check "memory of the device's own is held" wait_for 20 grep -q READY /tmp/bounce
unload virtio_vdpa
check "the disk is gone" test ! -e /dev/vda

# The server gets the files that the process has its memory from, and so can do nothing with other memory.
load ours/vhost_vdpa
check "it is a character device now" test -c "$(vhost_of disk0)"
wait $bounce
checks held $?
drive_blk disk0 --basic --memfd
drive_blk disk0 --basic --memfd --seed 2
end_disk
check "the character devices and the bus are unloaded" unload vhost_vdpa vdpa
