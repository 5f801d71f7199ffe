# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# A disk of VDUSE, served by QEMU's storage daemon. Included with `. /files/vduse.sh`.

# serve_disk OPTIONS: the disk disk0 of 64 MiB, exported with these options, and a device of it.
serve_disk() {
	truncate -s 64M /tmp/image
	qemu-storage-daemon \
		--blockdev driver=file,node-name=file,filename=/tmp/image \
		--export "type=vduse-blk,id=export,node-name=file,name=disk0,writable=on,$1" \
		>/tmp/daemon.log 2>&1 &
	daemon=$!
	check "the server is there" wait_for 20 test -e /dev/vduse/disk0
	check "a device is made of it" vdpa dev add name disk0 mgmtdev vduse
}

# end_disk: it goes, with its server and vduse, which the device that the server leaves behind would keep.
end_disk() {
	check "the device is deleted" vdpa dev del disk0
	kill "$daemon"
	wait "$daemon"
	# What the server had open for io_uring is closed some time after its end.
	check "vduse's device is destroyed" wait_for 10 guest vduse --destroy disk0
	check "vduse is unloaded" unload vduse
}
