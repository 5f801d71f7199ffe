# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: instructions per frame and per block request, with the C simulators and ours
# modules: stock/vdpa stock/virtio_vdpa c/vdpa_sim_net c/vdpa_sim_blk
# modules: ours/vdpa_sim_net ours/vdpa_sim_blk stock/virtio_net stock/virtio_blk
# tools: vdpa guest
# files: tests/results.sh
# icount: yes
# cpus: 1
# timeout: 1800

. /files/results.sh

# How many devices there are when it is asked how much memory they take.
devices=100

net() {
	local who=$1 interface size inflight
	for size in 64 1514; do
		for inflight in 1 256; do
			interface=$(ls /sys/bus/vdpa/devices/net0/virtio*/net)
			result "$who" "net, $size bytes, $inflight in flight" "$(guest frames --bench \
				--if "$interface" --count 4000 --size "$size" --inflight "$inflight" |
				value ns_per_frame)" "instructions per frame"
		done
	done
}

blk() {
	local who=$1 rw size depth ops
	for rw in read write; do
		for size in 4096 262144; do
			for depth in 1 32; do
				ops=2000
				[ $size = 4096 ] || ops=300
				result "$who" "block, $rw $size bytes, depth $depth" "$(guest blk-bench \
					--dev /dev/vda --rw $rw --size $size --depth $depth --random --ops $ops |
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
	load stock/virtio_vdpa
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

load stock/vdpa
load stock/virtio_vdpa
load stock/virtio_net
load stock/virtio_blk
for who in c ours c ours c ours; do
	common="vdpa_sim vringh"
	[ $who = c ] || common=
	load $who/vdpa_sim_net
	from_add_to_up $who
	sleep 1
	net $who
	vdpa dev del net0
	memory $who net
	# shellcheck disable=SC2086
	result $who "vdpa_sim_net.ko with what it needs" "$(loaded_size vdpa_sim_net $common)" bytes
	unload vdpa_sim_net
	[ $who = ours ] || unload vdpa_sim

	load $who/vdpa_sim_blk
	vdpa dev add name blk0 mgmtdev vdpasim_blk
	sleep 1
	blk $who
	vdpa dev del blk0
	# shellcheck disable=SC2086
	result $who "vdpa_sim_blk.ko with what it needs" "$(loaded_size vdpa_sim_blk $common)" bytes
	unload vdpa_sim_blk
	[ $who = ours ] || unload vdpa_sim
done
all_measured
