# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: the same calls to the stock character devices and ours, compared step by step
# debugging: no, the modules in C are what it is about
# modules: ours/vdpa stock/vhost_vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# tools: vdpa vhost-client
# files: tests/vhost-devices.sh tests/vhost/intended-differences.sed
# timeout: 240

. /files/vhost-devices.sh

# record DRIVER DEVICE: what it answers, with what differs on purpose made the same.
record() {
	vhost-client script --dev "$(vhost_of "$2")" >"/tmp/$2.$1.all"
	check "$1: $2 went through all of it" grep -q ' 0 failed' "/tmp/$2.$1.all"
	sed -E -f /files/intended-differences.sed "/tmp/$2.$1.all" |
		grep '^[0-9][0-9][0-9][0-9] ' >"/tmp/$2.$1"
}

load ours/vdpa
load ours/vdpa_sim_net
load ours/vdpa_sim_blk
for driver in stock ours; do
	load $driver/vhost_vdpa
	# New ones each time: a disk keeps what was written.
	check "$driver: a network device is added" add_net net0
	check "$driver: a block device is added" add_blk blk0
	record $driver net0
	record $driver blk0
	vdpa dev del net0
	vdpa dev del blk0
	check "$driver is unloaded" unload vhost_vdpa
done
for device in net0 blk0; do
	check "$device: there is something to compare" test "$(wc -l <"/tmp/$device.ours")" -gt 1000
	check "$device: both give the same results" diff -U 0 "/tmp/$device.stock" "/tmp/$device.ours"
done
