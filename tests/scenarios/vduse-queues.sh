# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: a disk of the stock vduse with more virtqueues than there are processors
# debugging: no, vduse is the same there, with fewer virtqueues
# modules: ours/vdpa ours/virtio_vdpa ours/vhost_vdpa stock/vduse stock/virtio_blk
# tools: vdpa fio qemu-storage-daemon vhost-client guest
# files: tests/traffic.sh tests/vduse.sh tests/vhost-devices.sh tests/others.sh
# cpus: 2
# timeout: 150

. /files/others.sh
. /files/traffic.sh
. /files/vduse.sh
. /files/vhost-devices.sh

version qemu-storage-daemon --version
version fio --version
load stock/virtio_blk
load ours/vdpa
load ours/virtio_vdpa
load stock/vduse
serve_disk num-queues=16
check "it has 16 virtqueues" eval "vdpa dev show disk0 | grep -q 'max_vqs 16 '"
check "the disk appears" wait_for 20 test -e /dev/vda
check "it has one for each processor" eval "[ \$(ls /sys/block/vda/mq | wc -l) = 2 ]"
for cpu in 0 1; do
	check "fio verifies what processor $cpu writes" taskset -c $cpu \
		fio --name=verified --filename=/dev/vda --direct=1 --ioengine=libaio --iodepth=32 --bsrange=512-64k \
		--randseed=$cpu --offset=$((cpu * 32))M --size=8M --rw=randwrite --verify=crc32c --verify_fatal=1
done
unload virtio_vdpa
load ours/vhost_vdpa
drive_blk disk0 --basic --memfd
end_disk
check "the character devices and the bus are unloaded" unload vhost_vdpa vdpa
