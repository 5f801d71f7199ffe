# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: instructions per frame of QEMU's network device, with virtio_pci, with ifcvf in C and with ours
# modules: stock/vdpa stock/virtio_vdpa c/ifcvf ours/vdpa ours/virtio_vdpa ours/ifcvf ours/bar_shim
# modules: stock/virtio_net
# tools: vdpa guest
# files: tests/ifcvf.sh tests/results.sh
# icount: yes
# cpus: 1
# timeout: 900
# qemu: -netdev hubport,id=n0,hubid=0 -netdev hubport,id=n1,hubid=0
# qemu: -device virtio-net-pci,netdev=n0,disable-legacy=on,iommu_platform=on,romfile=,addr=5,tx=timer,x-txtimer=2000
# qemu: -device virtio-net-pci,netdev=n1,disable-legacy=on,iommu_platform=on,romfile=,addr=6,tx=timer,x-txtimer=2000

# Two devices that are connected. What drives the first is measured, the other is as it always was. The
# devices wait for a time that is counted in instructions before they send, not for a thread of QEMU's:
# that would come at any time. It is less than a frame takes. Were it more, a driver would be idle in it
# that has one in flight, and it would be a matter of chance how many go at once (40 instructions more for
# each frame made it 15 % less in all).
. /files/ifcvf.sh
. /files/results.sh

# frames WHO VERB FROM TO
frames() {
	local who=$1 verb=$2 from=$3 to=$4 size inflight
	for run in "64 1" "64 32" "1514 32"; do
		size=${run% *} inflight=${run#* }
		result "$who" "VF $verb, $size bytes, $inflight in flight" \
			"$(frame_cost "$size" "$inflight" --if "$from" --to "$to")" "instructions per frame"
	done
}

measure() {
	ip link set "$(interface)" up
	sleep 1
	frames "$1" transmits "$(interface)" "$(in_slot 6)"
	frames "$1" receives "$(in_slot 6)" "$(interface)"
	ip link set "$(interface)" down
}

with_ifcvf() {
	local from
	from=$(core_of "$1")
	load "$from/vdpa"
	load "$from/virtio_vdpa"
	disguise
	load "$1/ifcvf"
	add_vf vf0
	measure "$1"
	unload ifcvf
	undisguise
	unload virtio_vdpa vdpa
}

load stock/virtio_net
ip link set "$(in_slot 6)" up
for _ in 1 2 3; do
	measure direct
	with_ifcvf c
	with_ifcvf ours
done
all_measured
