# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: what mapping, opening and one request cost, with the stock character devices and ours
# modules: ours/vdpa stock/vhost_vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# tools: vdpa vhost-client
# files: tests/vhost-devices.sh
# icount: yes
# cpus: 1
# timeout: 900

. /files/vhost-devices.sh

# Under icount a nanosecond is an instruction.
echo 40 >/proc/sys/vm/nr_hugepages
load ours/vdpa
for use_va in 0 1; do
	load ours/vdpa_sim_net use_va=$use_va max_iotlb_entries=200000
	load ours/vdpa_sim_blk use_va=$use_va
	# Stock once as it is, and once with room for as many mappings as ours has.
	for driver in stock "stock max_iotlb_entries=200000" ours stock ours; do
		# shellcheck disable=SC2086
		set -- $driver
		load "$1/vhost_vdpa" ${2:+"$2"}
		[ -e /sys/bus/vdpa/devices/net0 ] ||
			vdpa dev add name net0 mgmtdev vdpasim_net mac 52:54:11:12:34:56
		[ -e /sys/bus/vdpa/devices/blk0 ] || vdpa dev add name blk0 mgmtdev vdpasim_blk
		vhost-client bench --dev "$(vhost_of net0)" |
			sed -n "s/^bench/$driver use_va=$use_va net/p"
		vhost-client bench --dev "$(vhost_of blk0)" |
			sed -n "s/^bench/$driver use_va=$use_va blk/p" | grep -e round-trip -e open -e close
		unload vhost_vdpa
	done
	unload vdpa_sim_net vdpa_sim_blk
done
ok "measured"
