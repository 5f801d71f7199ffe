# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: unloading in every order, deletion during traffic 200 times, nothing leaks
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# modules: stock/vhost_iotlb stock/virtio_net stock/virtio_blk
# tools: vdpa guest
# files: tests/traffic.sh
# cpus: 2
# timeout: 600

. /files/traffic.sh

load_all() {
	load ours/vdpa && load ours/virtio_vdpa && load ours/vdpa_sim_net && load ours/vdpa_sim_blk
}

# Every order in which the three users of the bus can go, with devices there or without.
unload_orders() {
	for order in "virtio_vdpa vdpa_sim_net vdpa_sim_blk" "virtio_vdpa vdpa_sim_blk vdpa_sim_net" \
		"vdpa_sim_net virtio_vdpa vdpa_sim_blk" "vdpa_sim_net vdpa_sim_blk virtio_vdpa" \
		"vdpa_sim_blk virtio_vdpa vdpa_sim_net" "vdpa_sim_blk vdpa_sim_net virtio_vdpa"; do
		load_all
		if [ "$1" = "with devices" ]; then
			add_net net0 && add_blk blk0 || return
			ip link set "$(interface_of net0)" up || return
		fi
		# The bus is in use until the last of them is gone.
		for name in $order; do
			! rmmod vdpa 2>/dev/null || return
			unload "$name" || return
		done
		unload vdpa vdpa_sim || return
	done
}

# Traffic that goes on until its device is gone, which makes it fail.
busy_net() {
	guest frames --if "$1" --count 10000000 --size 1514 --inflight 32
}

busy_blk() {
	guest blk-bench --dev "/dev/$1" --rw write --size 4096 --depth 32 --ops 10000000
}

# More than the kernel itself sends when an interface comes up, or reads and writes of a new disk.
frames_flow() {
	local frames
	read -r frames <"/sys/class/net/$1/statistics/tx_packets" && [ "$frames" -gt 100 ]
}

requests_flow() {
	local writes
	read -r _ _ _ _ writes _ <"/sys/block/$1/stat" && [ "$writes" -gt 20 ]
}

# no_traffic LOG: there was none for so long, and this is what its program says.
no_traffic() {
	echo "there is no traffic:"
	cat "$1"
	return 1
}

# ended_by_deletion PROCESS LOG: traffic that only the deletion has ended. Its program says so with status 1.
ended_by_deletion() {
	local status=0
	wait "$1" || status=$?
	if [ $status != 1 ] || ! grep -q '^not ok ' "$2"; then
		echo "status $status:"
		cat "$2"
		return 1
	fi
}

delete_busy() {
	local i interface disk net blk
	for i in $(seq "$1"); do
		add_net net0 || return
		interface=$(interface_of net0)
		ip link set "$interface" up || return
		busy_net "$interface" >/tmp/net 2>&1 &
		net=$!
		if [ $((i % 10)) = 0 ]; then
			add_blk blk0 || return
			disk=$(disk_of blk0)
			busy_blk "$disk" >/tmp/blk 2>&1 &
			blk=$!
			wait_for 20 requests_flow "$disk" || no_traffic /tmp/blk || return
		fi
		wait_for 20 frames_flow "$interface" || no_traffic /tmp/net || return
		usleep $((i % 7 * 20000))
		vdpa dev del net0 || return
		if [ $((i % 10)) = 0 ]; then
			vdpa dev del blk0 || return
			ended_by_deletion $blk /tmp/blk || return
		fi
		ended_by_deletion $net /tmp/net || return
	done
}

# A debugging kernel finds by itself what leaks, and takes its time.
times=200
! debugging || times=10

load stock/vhost_iotlb
load stock/virtio_net
load stock/virtio_blk
# What is allocated once and kept is there when counting begins.
if ! debugging; then
	load_all
	delete_busy 20
	unload vdpa_sim_net vdpa_sim_blk vdpa_sim virtio_vdpa vdpa
	unload_orders "with devices"
fi
guest counts >/tmp/before

debugging || check "unloaded in every order" unload_orders "without devices"
check "unloaded in every order, with devices in use" unload_orders "with devices"
load_all
check "deleted $times times during traffic" delete_busy $times
check "no device is left" eval "! vdpa dev show | grep -q ."
nothing_left vdpa_sim_net vdpa_sim_blk vdpa_sim virtio_vdpa vdpa
checks guest counts --compare /tmp/before --slack-kb 8192
