# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: what mapping, opening and one request cost, with the stock character devices and ours
# modules: ours/vdpa stock/vhost_vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# tools: vdpa vhost-client
# files: tests/vhost-devices.sh tests/results.sh
# icount: yes
# cpus: 1
# timeout: 1800

. /files/vhost-devices.sh
. /files/results.sh

# measure WHO DEVICE WHAT [ONLY]: runs the client's benchmark.
measure() {
	local who=$1 device=$2 what=$3
	shift 3
	if ! vhost-client bench --dev "$(vhost_of "$device")" "$@" >/tmp/bench 2>&1; then
		fail "measured: $who | $what" "$(cat /tmp/bench)"
	fi
	sed -n "s/^bench: /bench: $who | $what, /p" /tmp/bench
}

add_devices() {
	vdpa dev add name net0 mgmtdev vdpasim_net mac 52:54:11:12:34:56
	vdpa dev add name blk0 mgmtdev vdpasim_blk
}

# For memory in huge pages.
echo 40 >/proc/sys/vm/nr_hugepages
load ours/vdpa
for use_va in 0 1; do
	mode=pinned
	[ $use_va = 0 ] || mode="by address"
	load ours/vdpa_sim_net use_va=$use_va
	load ours/vdpa_sim_blk use_va=$use_va
	for who in c ours c ours c ours; do
		# The C driver has a limit of 2,048 mappings by default, with which half of this fails.
		case $who in
		c) load stock/vhost_vdpa max_iotlb_entries=200000 ;;
		ours) load ours/vhost_vdpa ;;
		esac
		[ -e /sys/bus/vdpa/devices/net0 ] || add_devices
		measure $who net0 "$mode"
		measure $who blk0 "$mode, block" --only sessions
		measure $who blk0 "$mode, block" --only round-trips
		case $who,$use_va in
		c,0) result c "vhost_vdpa.ko with what it needs" "$(loaded_size vhost_vdpa vhost vhost_iotlb)" bytes ;;
		ours,0) result ours "vhost_vdpa.ko with what it needs" "$(loaded_size vhost_vdpa vhost_iotlb)" bytes ;;
		esac
		unload vhost_vdpa
	done
	unload vdpa_sim_net vdpa_sim_blk
done
all_measured
