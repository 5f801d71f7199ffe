# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: net and block I/O with memory that is pinned
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# tools: vdpa vhost-client guest
# files: tests/vhost-devices.sh
# timeout: 240

. /files/vhost-devices.sh

load ours/vdpa
load ours/vhost_vdpa
guest counts >/tmp/before
# A device that is told of all mappings at once, and one that is told of each.
for batch in 1 0; do
	load ours/vdpa_sim_net use_va=0 batch_mapping=$batch
	load ours/vdpa_sim_blk use_va=0 batch_mapping=$batch
	check "a network device is added" add_net net0
	check "a block device is added" add_blk blk0
	drive_net net0 --anon
	drive_net net0 --memfd --event-idx --indirect
	drive_blk blk0 --anon
	checks vhost-client states --dev "$(vhost_of net0)"
	[ $batch = 1 ] || checks vhost-client states --dev "$(vhost_of blk0)"
	check "the devices go with their modules" unload vdpa_sim_net vdpa_sim_blk vdpa_sim
done
checks guest counts --compare /tmp/before --slack-kb 8192
