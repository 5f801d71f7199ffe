# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: rings that no driver would make, for the simulators, and ordinary work after each
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# tools: vdpa fuzz guest
# files: tests/vhost-devices.sh
# cpus: 3
# timeout: 420
# debugging: only

. /files/vhost-devices.sh

# `make fuzz` puts others here, and adds to the time above.
seed=1
seconds=60

# In one way the simulators use addresses of the process, in the other pages that are pinned.
simulators() {
	load ours/vdpa_sim_net use_va="$1" && load ours/vdpa_sim_blk use_va="$1"
}

load ours/vdpa
load ours/vhost_vdpa
simulators 1
guest counts >/tmp/before
for use_va in 1 0; do
	loaded vdpa_sim_net || check "the simulators are loaded with use_va=$use_va" simulators $use_va
	check "a network device is added" add_net net0
	check "a block device is added" add_blk blk0
	checks fuzz rings --seed $seed --seconds $((seconds / 2)) \
		--dev "$(vhost_of net0)" --dev "$(vhost_of blk0)"
	check "the devices go with their modules" unload vdpa_sim_net vdpa_sim_blk
done
check "the simulators are there again" simulators 1
checks guest counts --compare /tmp/before --slack-kb 16384
check "all is unloaded" unload vdpa_sim_net vdpa_sim_blk vdpa_sim vhost_vdpa vdpa
