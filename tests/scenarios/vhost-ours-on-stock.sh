# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: our character devices on the stock bus, with our simulators and the C ones
# debugging: no, the modules in C are what it is about
# modules: stock/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk c/vdpa_sim_net c/vdpa_sim_blk
# tools: vdpa vhost-client
# files: tests/vhost-devices.sh
# timeout: 240

. /files/vhost-devices.sh

load stock/vdpa
load ours/vhost_vdpa
load ours/vdpa_sim_net
load ours/vdpa_sim_blk
check "our simulators add devices" add_net net0
check "of both kinds" add_blk blk0
drive_net net0
drive_blk blk0
checks vhost-client states --dev "$(vhost_of net0)"
checks vhost-client states --dev "$(vhost_of blk0)"
unload vdpa_sim_net vdpa_sim_blk vdpa_sim

for use_va in 1 0; do
	load c/vdpa_sim use_va=$use_va
	load c/vdpa_sim_net
	load c/vdpa_sim_blk
	check "the C simulators add devices" add_net net0
	check "of both kinds" add_blk blk0
	drive_net net0 --anon
	drive_net net0 --memfd
	drive_blk blk0 --memfd
	checks vhost-client states --dev "$(vhost_of net0)"
	checks vhost-client states --dev "$(vhost_of blk0)"
	check "the devices go with their modules" unload vdpa_sim_net vdpa_sim_blk vdpa_sim
done
