# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: instructions per frame and per block request, with the C simulators and ours
# modules: stock/vdpa stock/virtio_vdpa c/vdpa_sim_net c/vdpa_sim_blk
# modules: ours/vdpa_sim_net ours/vdpa_sim_blk stock/virtio_net stock/virtio_blk
# tools: vdpa guest
# icount: yes
# cpus: 1
# timeout: 900

# Under icount a nanosecond is an instruction.
net() {
	local interface
	load "$1/vdpa_sim_net"
	vdpa dev add name net0 mgmtdev vdpasim_net mac 52:54:00:12:34:56
	interface=$(ls /sys/bus/vdpa/devices/net0/virtio*/net)
	ip link set "$interface" up
	sleep 1
	for run in "64 1" "64 32" "1514 32"; do
		# shellcheck disable=SC2086
		set -- "$1" $run
		guest frames --bench --if "$interface" --count 4000 --size "$2" --inflight "$3" |
			sed -n "s/^frames/net $1/p"
	done
	vdpa dev del net0
	unload vdpa_sim_net
	[ "$1" = ours ] || unload vdpa_sim
}

blk() {
	load "$1/vdpa_sim_blk"
	vdpa dev add name blk0 mgmtdev vdpasim_blk
	sleep 1
	for run in "read 4096 1 --random" "read 4096 32 --random" "write 4096 32 --random" \
		"read 131072 4" "write 131072 4"; do
		# shellcheck disable=SC2086
		set -- "$1" $run
		# shellcheck disable=SC2086
		guest blk-bench --dev /dev/vda --rw "$2" --size "$3" --depth "$4" $5 --ops 2000 |
			sed -n "s/^blk/blk $1/p"
	done
	vdpa dev del blk0
	unload vdpa_sim_blk
	[ "$1" = ours ] || unload vdpa_sim
}

load stock/vdpa
load stock/virtio_vdpa
load stock/virtio_net
load stock/virtio_blk
for simulators in c ours c ours; do
	net $simulators
	blk $simulators
done
ok "measured"
