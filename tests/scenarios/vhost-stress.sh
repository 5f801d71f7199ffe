# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: character devices under threads, random calls, and programs that are killed
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# tools: vdpa vhost-client guest
# files: tests/vhost-devices.sh
# cpus: 2
# timeout: 300

. /files/vhost-devices.sh

load ours/vdpa
load ours/vhost_vdpa
guest counts >/tmp/before
for use_va in 1 0; do
	load ours/vdpa_sim_net use_va=$use_va
	load ours/vdpa_sim_blk use_va=$use_va
	check "a network device is added" add_net net0
	check "a block device is added" add_blk blk0
	checks vhost-client stress --dev "$(vhost_of net0)" --seed 1$use_va
	[ $use_va = 0 ] || checks vhost-client stress --dev "$(vhost_of blk0)" --seed 2
	check "the devices go with their modules" unload vdpa_sim_net vdpa_sim_blk vdpa_sim
done
checks guest counts --compare /tmp/before --slack-kb 16384
