# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: stock character devices on our bus, with our simulators
# modules: ours/vdpa stock/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk ours/vdpa_bounce
# tools: vdpa vhost-client
# files: tests/vhost-devices.sh
# timeout: 180

. /files/vhost-devices.sh

load ours/vdpa
load stock/vhost_vdpa
for use_va in 1 0; do
	load ours/vdpa_sim_net use_va=$use_va
	load ours/vdpa_sim_blk use_va=$use_va
	check "a network device is added" add_net net0
	check "a block device is added" add_blk blk0
	# The C driver leaves out memory that is only the process's, if it maps by address.
	drive_net net0 --memfd
	drive_blk blk0 --memfd
	checks vhost-client states --dev "$(vhost_of net0)" --memfd
	checks vhost-client states --dev "$(vhost_of blk0)" --memfd
	# The C driver holds the lock of the process's mappings while it tells the device of one.
	checks vhost-client stress --dev "$(vhost_of net0)" --only mappings
	checks vhost-client stress --dev "$(vhost_of blk0)" --only mappings
	check "the devices go with their modules" unload vdpa_sim_net vdpa_sim_blk vdpa_sim
done
for batch in 0 1; do
	drive_files $batch
done
