# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: fio verifies what it wrote to a disk, and XFS is made, filled and checked there
# debugging: no, what it shows of our modules there all-ours does, too
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_sim_blk
# modules: stock/virtio_blk stock/xfs stock/vhost_iotlb stock/9p stock/9pnet_virtio
# tools: vdpa fio guest
# files: tests/traffic.sh tests/others.sh
# others: yes
# memory: 2G
# timeout: 150

. /files/others.sh
. /files/traffic.sh

# verified OPTION...: by fio, in blocks of all sizes; each has a checksum.
verified() {
	fio --name=verified --filename="$disk" --direct=1 --ioengine=libaio --iodepth=32 --bsrange=512-256k \
		--randseed=1 --verify=crc32c --verify_fatal=1 "$@"
}

check "programs of others can be read" mount_others
version fio --version
version others mkfs.xfs -V
load stock/virtio_blk
load stock/xfs
load stock/vhost_iotlb
guest counts >/tmp/before
load ours/vdpa
load ours/virtio_vdpa
load ours/vdpa_sim_blk
check "a block device is added" add_blk blk0
disk=/dev/$(disk_of blk0)

check "fio finds what it wrote, in any order" verified --rw=randwrite --size=48M
check "and what two processes wrote at a time" verified --rw=randwrite --size=24M --numjobs=2 --offset_increment=64M
check "and after all pages are dropped, once more" eval "echo 3 >/proc/sys/vm/drop_caches; verified --rw=randwrite --size=48M --verify_only"
printf x | dd of="$disk" bs=1 seek=1000000 conv=notrunc 2>/dev/null
refused "but not if a byte is another" "verify" verified --rw=randwrite --size=48M --verify_only

# It would have 300 MiB, which this disk has not.
check "XFS is made" others mkfs.xfs -q -f --unsupported "$disk"
mkdir -p /mnt
check "it is mounted" mount -t xfs "$disk" /mnt
check "files are written" fill_disk /mnt
check "some of them are trimmed away" eval "rm /mnt/file8 && fstrim -v /mnt && sed -i '/file8/d' /mnt/SUMS"
check "it is unmounted" umount /mnt
check "xfs_repair finds nothing to repair" others xfs_repair -n "$disk"
check "it is mounted again" mount -t xfs "$disk" /mnt
check "the files have the same contents" same_sums /mnt
check "it is unmounted again" umount /mnt
check "the device is deleted" vdpa dev del blk0
check "the simulator is unloaded" unload_simulators
nothing_left virtio_vdpa vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
