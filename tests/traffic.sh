# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# What several scenarios do with devices. Included with `. /files/traffic.sh`.

# add_net NAME [MAC], add_blk NAME: devices of the simulators.
add_net() {
	vdpa dev add name "$1" mgmtdev vdpasim_net mac "${2:-52:54:00:12:34:56}"
}

add_blk() {
	vdpa dev add name "$1" mgmtdev vdpasim_blk
}

# The name that the kernel gave the network interface, or the disk, of a vDPA device.
interface_of() {
	ls "/sys/bus/vdpa/devices/$1"/virtio*/net
}

disk_of() {
	ls "/sys/bus/vdpa/devices/$1"/virtio*/block
}

# Frames that come back, with all their bytes, one at a time and many at once.
net_traffic() {
	local interface
	interface=$(interface_of "$1")
	check "$1: the interface comes up" ip link set "$interface" up
	checks guest frames --if "$interface" --count 200 --size 64 --inflight 1
	checks guest frames --if "$interface" --count 1000 --size 64 --inflight 32
	checks guest frames --if "$interface" --count 1000 --size 1514 --inflight 32
	checks guest frames --if "$interface" --drop-check
}

# fill_disk DIRECTORY [NUMBER]: files of 1, 2, 3 ... MiB whose checksums are in the list.
fill_disk() {
	local i
	for i in $(seq "${2:-8}"); do
		dd if=/dev/urandom of="$1/file$i" bs=1M count="$i" 2>/dev/null || return
	done
	(cd "$1" && sha256sum file* >SUMS)
}

same_sums() {
	(cd "$1" && sha256sum -c SUMS)
}

# A file system is made, filled, unmounted, mounted: is all of it there?
disk_traffic() {
	local disk
	disk=/dev/$(disk_of "$1")
	check "$1: a file system is made" mkfs.ext4 -q "$disk"
	mkdir -p /mnt
	check "$1: it is mounted" mount -t ext4 "$disk" /mnt
	check "$1: files are written" fill_disk /mnt
	check "$1: it is unmounted" umount /mnt
	echo 3 >/proc/sys/vm/drop_caches
	check "$1: it is mounted again" mount -t ext4 "$disk" /mnt
	check "$1: the files have the same contents" same_sums /mnt
	check "$1: it is unmounted again" umount /mnt
}

# own_traffic NAME: the same with a disk whose parent maps the memory of kernel drivers itself: it sees no other.
# Nothing stays mapped.
own_traffic() {
	check "$1: a disk that maps memory itself is added" vdpa dev add name "$1" mgmtdev vdpa_bounce
	disk_traffic "$1"
	check "$1: a buffer is no larger than it can map" eval "[ \$(cat /sys/block/\$(disk_of $1)/queue/max_segment_size) = 65536 ]"
	check "$1: it is deleted" vdpa dev del "$1"
	check "$1: nothing was left mapped, or missed" eval "! dmesg | grep 'vdpa_bounce: .* are left\|vdpa_bounce: .* is not there'"
	check "$1: its module goes" unload vdpa_bounce
}

# Modules are gone, and with them all that they made.
nothing_left() {
	local name
	for name in "$@"; do
		check "$name is unloaded" unload "$name"
	done
	check "no device is left" test ! -e /sys/bus/vdpa/devices
	check "no management device is left" test ! -e /sys/devices/vdpasim_net -a ! -e /sys/devices/vdpasim_blk
}
