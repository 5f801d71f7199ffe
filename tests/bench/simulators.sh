# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: instructions per frame and per block request, with the C bus, transport and simulators, and with ours
# modules: stock/vdpa stock/virtio_vdpa c/vdpa_sim_net c/vdpa_sim_blk
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# modules: stock/virtio_net stock/virtio_blk stock/null_blk
# tools: vdpa guest
# files: tests/results.sh
# icount: yes
# cpus: 1
# timeout: 1800
# qemu: -netdev hubport,id=n0,hubid=0 -netdev hubport,id=n1,hubid=0
# qemu: -device virtio-net-pci,netdev=n0,disable-legacy=on,romfile=,addr=5,tx=timer,x-txtimer=1000
# qemu: -device virtio-net-pci,netdev=n1,disable-legacy=on,romfile=,addr=6,tx=timer,x-txtimer=1000
# qemu: -netdev hubport,id=n2,hubid=1 -netdev hubport,id=n3,hubid=1
# qemu: -device virtio-net-pci,netdev=n2,disable-legacy=on,romfile=,addr=7,tx=timer,x-txtimer=50000
# qemu: -device virtio-net-pci,netdev=n3,disable-legacy=on,romfile=,addr=8,tx=timer,x-txtimer=50000

# What the same costs without a simulator is measured with network devices of QEMU's, two and two connected,
# and with a block device of the kernel's that does nothing. Instructions of QEMU's are not counted. Its network
# devices send when a time has passed, which is counted in instructions: soon where one frame is in flight,
# late enough for many of them where there are many.
. /files/results.sh

# How many devices there are when it is asked how much memory they take.
devices=100

# frames WHO SIZE INFLIGHT OPTION...
frames() {
	local who=$1 size=$2 inflight=$3
	shift 3
	result "$who" "net, $size bytes, $inflight in flight" "$(frame_cost "$size" "$inflight" "$@")" \
		"instructions per frame"
}

net() {
	local who=$1 interface size inflight
	interface=$(ls /sys/bus/vdpa/devices/net0/virtio*/net)
	for size in 64 1514; do
		for inflight in 1 256; do
			frames "$who" $size $inflight --if "$interface"
		done
	done
}

net_without() {
	local size slot
	for slot in 5 6 7 8; do
		ip link set "$(in_slot $slot)" up
	done
	sleep 1
	for size in 64 1514; do
		frames direct $size 1 --if "$(in_slot 5)" --to "$(in_slot 6)"
		frames direct $size 256 --if "$(in_slot 7)" --to "$(in_slot 8)"
	done
	for slot in 5 6 7 8; do
		ip link set "$(in_slot $slot)" down
	done
}

# blk WHO DEVICE
blk() {
	local who=$1 device=$2 rw size depth ops
	for rw in read write; do
		for size in 4096 262144; do
			for depth in 1 32; do
				ops=2000
				[ $size = 4096 ] || ops=300
				result "$who" "block, $rw $size bytes, depth $depth" "$(guest blk-bench \
					--dev "$device" --rw $rw --size $size --depth $depth --random --ops $ops |
					value ns_per_op)" "instructions per request"
			done
		done
	done
}

# memory WHO KIND: of devices that nobody uses.
memory() {
	local who=$1 kind=$2 before number
	unload virtio_vdpa
	# What is there once for all of them shall not count.
	vdpa dev add name first mgmtdev "vdpasim_$kind"
	before=$(used_memory)
	for number in $(seq $devices); do
		vdpa dev add name "m$number" mgmtdev "vdpasim_$kind"
	done
	result "$who" "memory of a $kind device" $((($(used_memory) - before) / devices)) "kB"
	for number in $(seq $devices); do
		vdpa dev del "m$number"
	done
	vdpa dev del first
	load "$(core_of "$who")/virtio_vdpa"
}

# from_add_to_up WHO: the shell and the tools are a part of it.
from_add_to_up() {
	local begin
	begin=$(now)
	vdpa dev add name net0 mgmtdev vdpasim_net mac 52:54:00:12:34:56
	ip link set "$(ls /sys/bus/vdpa/devices/net0/virtio*/net)" up
	result "$1" "net, from \`vdpa dev add\` to an interface that is up" \
		$(($(now) - begin)) "instructions"
}

load stock/virtio_net
load stock/virtio_blk
load stock/null_blk nr_devices=1 irqmode=0 gb=1
for who in c ours c ours c ours; do
	from=$(core_of $who) common=vdpa_sim
	if [ $who = c ]; then
		common="vdpa_sim vringh"
		net_without
		blk direct /dev/nullb0
	fi
	load "$from/vdpa"
	load "$from/virtio_vdpa"
	load $who/vdpa_sim_net
	from_add_to_up $who
	sleep 1
	net $who
	vdpa dev del net0
	memory $who net
	# shellcheck disable=SC2086
	result $who "vdpa_sim_net.ko with what it needs" "$(loaded_size vdpa_sim_net $common)" bytes
	unload vdpa_sim_net vdpa_sim

	load $who/vdpa_sim_blk
	vdpa dev add name blk0 mgmtdev vdpasim_blk
	sleep 1
	blk $who /dev/vda
	vdpa dev del blk0
	# shellcheck disable=SC2086
	result $who "vdpa_sim_blk.ko with what it needs" "$(loaded_size vdpa_sim_blk $common)" bytes
	unload vdpa_sim_blk vdpa_sim
	result $who "vdpa.ko" "$(loaded_size vdpa)" bytes
	result $who "virtio_vdpa.ko" "$(loaded_size virtio_vdpa)" bytes
	unload virtio_vdpa vdpa
done
all_measured
