# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: virtio devices of QEMU's behind an IOMMU as vDPA devices, for the kernel's drivers
# debugging: no, that kernel has no drivers for most of them
# modules: ours/vdpa ours/virtio_vdpa ours/vp_vdpa
# modules: stock/virtio_net stock/virtio_blk stock/virtio_rng stock/virtio_scsi stock/sd_mod stock/9pnet_virtio stock/9p stock/ext4
# tools: vdpa guest mkfs.ext4
# files: tests/vp-vdpa.sh tests/ifcvf.sh tests/traffic.sh tests/http-numbers.sh
# cpus: 4
# append: intel_iommu=on
# qemu: -machine q35 -device intel-iommu,caching-mode=on,device-iotlb=on
# qemu: -netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:tests/http-numbers.sh
# qemu: -device virtio-net-pci,netdev=n0,packed=on,iommu_platform=on,disable-legacy=on,romfile=,addr=5
# qemu: -drive if=none,id=d0,format=raw,file.driver=null-co,file.size=67108864,file.read-zeroes=on,snapshot=on
# qemu: -drive if=none,id=d1,format=raw,file.driver=null-co,file.size=67108864,file.read-zeroes=on,snapshot=on
# qemu: -device virtio-blk-pci,drive=d0,num-queues=2,packed=on,iommu_platform=on,disable-legacy=on,serial=of-qemu,addr=6
# qemu: -device virtio-rng-pci,iommu_platform=on,disable-legacy=on,addr=7
# qemu: -device virtio-scsi-pci,id=s0,iommu_platform=on,disable-legacy=on,addr=8 -device scsi-hd,bus=s0.0,drive=d1
# qemu: -fsdev local,id=f0,path=tests,security_model=none,readonly=on
# qemu: -device virtio-9p-pci,fsdev=f0,mount_tag=tests,iommu_platform=on,disable-legacy=on,addr=9
# qemu: -device virtio-balloon-pci,disable-legacy=on,addr=a

. /files/ifcvf.sh
. /files/traffic.sh
. /files/vp-vdpa.sh
# shellcheck disable=SC2154 # Of vp-vdpa.sh.
: "$pci"

says() {
	dmesg | grep -q "$1"
}

# interrupts_of SLOT NAME...: those that a function has are named so, and no others are there.
interrupts_of() {
	local prefix
	prefix="vp_vdpa\[$(function_at "$1")\]-"
	shift
	grep -o "$prefix.*" /proc/interrupts | sed "s/$prefix//" | sort >/tmp/interrupts
	for name; do
		echo "$name"
	done | sort | cmp - /tmp/interrupts || {
		cat /tmp/interrupts
		return 1
	}
}

# negotiated NAME FEATURE...
negotiated() {
	local name=$1 feature
	shift
	for feature; do
		vdpa dev config show "$name" | grep -qw "$feature" || return
	done
}

random() {
	dd if=/dev/hwrng of=/tmp/random bs=64 count=64 iflag=fullblock 2>/dev/null
	[ "$(gzip -c /tmp/random | wc -c)" -ge 4096 ]
}

# What the kernel's drivers find: a network, disks, random bytes, files.
all_of_it() {
	user_network vp5
	check "the block device says what QEMU calls it" \
		grep -q '^of-qemu$' "/sys/block/$(below 6 block)/serial"
	disk_traffic vp6
	check "the entropy device gives random bytes" random
	disk_traffic vp8
	mkdir -p /tests
	check "the file system is mounted" mount -t 9p -o trans=virtio,version=9p2000.L tests /tests
	check "its files are those of the host" cmp /tests/http-numbers.sh /files/http-numbers.sh
	check "it is unmounted" umount /tests
}

interface() {
	below 5 net
}

# disk_of NAME: behind a SCSI host it appears some time after that.
disk_of() {
	local slot=${1#vp}
	case $slot in
	6) below 6 block ;;
	*)
		wait_for 10 eval "ls -d $pci/devices/$(function_at "$slot")/virtio*/host*/target*/*/block/* >/tmp/disk" &&
			basename "$(cat /tmp/disk)"
		;;
	esac
}

for driver in virtio_net virtio_blk virtio_rng virtio_scsi sd_mod 9pnet_virtio 9p ext4; do
	load stock/$driver
done
load ours/vdpa
load ours/virtio_vdpa
load ours/vp_vdpa
check "no function is taken that nobody has said" eval "[ -z \"\$(vdpa mgmtdev show)\" ]"
give 5 6 7 8 9
for slot in 5 6 7 8 9; do
	check "function $slot is taken that somebody has" test "$(driver_of $slot)" = vp-vdpa
done
check "the management device says what it is" eval "vdpa mgmtdev show pci/$(function_at 5) | grep -q 'supported_classes net'"
refused "features that it does not have are refused" "" add vp5 5 device_features 0x1000000
check "the log says which" says "features 0x1000000 cannot be offered"
give a
check "a device that goes past the IOMMU is not taken" test "$(driver_of a)" != vp-vdpa
check "the log says why" says "0000:00:0a.0: the device cannot be used: there is an IOMMU, which it goes past"
for slot in 5 6 7 8 9; do
	check "a device is made of $slot" add vp$slot $slot
done
check "each virtqueue has an interrupt" interrupts_of 5 0 1 2 config
check "also of two for requests" interrupts_of 6 0 1 config
check "rings are packed" negotiated vp5 RING_PACKED
all_of_it
for slot in 5 6 7 8 9; do
	check "device $slot is deleted" vdpa dev del vp$slot
done
check "there are no interrupts then" interrupts_of 5

check "a device is made with split rings" add vp5 5 device_features 0x300010020
check "which the driver accepts" negotiated vp5 MAC STATUS VERSION_1 ACCESS_PLATFORM
user_network vp5
for slot in 6 7 8 9; do
	check "a device is made of $slot" add vp$slot $slot
done
unbind 6
check "a function is taken away with its device" test ! -e /sys/bus/vdpa/devices/vp6
check "the driver is unloaded with all the others in use" unload vp_vdpa
check "the kernel's own driver takes a function then" eval "give_back 5 && [ \"\$(driver_of 5)\" = virtio-pci ]"
user_network "without vDPA"
load ours/vp_vdpa
unbind 5
check "ids are accepted as well" eval "echo 1af4 1041 >$pci/drivers/vp-vdpa/new_id"
check "which take the function" test "$(driver_of 5)" = vp-vdpa
check "a device is made of it" add vp5 5
user_network vp5
check "all is unloaded with it" unload vp_vdpa virtio_vdpa vdpa
