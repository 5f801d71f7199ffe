# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: every mistake that a driver can make, one at a time, and what the simulators make of it
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# tools: vdpa vhost-client guest
# files: tests/vhost-devices.sh
# cpus: 2
# timeout: 400

. /files/vhost-devices.sh

load ours/vdpa
load ours/vhost_vdpa
load ours/vdpa_sim
guest counts >/tmp/before
# Addresses of the process, pinned pages, and mappings that the device is told one by one. The debugging kernel
# looks at accesses by physical addresses, which are those with pinned pages.
sets="use_va=1,batch_mapping=1 use_va=0,batch_mapping=1 use_va=0,batch_mapping=0"
rounds=1000
if debugging; then
	sets="use_va=0,batch_mapping=1"
	rounds=100
fi
for parameters in $sets; do
	parameters=$(echo "$parameters" | tr , ' ')
	note "the simulators have $parameters"
	how="--rounds $rounds"
	if [ "$parameters" = "use_va=0 batch_mapping=1" ]; then
		how="$how --event-idx"
	fi
	# shellcheck disable=SC2086 # These are words.
	load ours/vdpa_sim_blk $parameters
	# shellcheck disable=SC2086 # These are words.
	load ours/vdpa_sim_net $parameters
	check "a block device is added" add_blk blk0
	check "a network device is added" add_net net0
	# shellcheck disable=SC2086 # These are words.
	checks vhost-client hostile $how --dev "$(vhost_of blk0)"
	# shellcheck disable=SC2086 # These are words.
	checks vhost-client hostile $how --dev "$(vhost_of net0)" --name net0
	check "the devices go with their modules" unload vdpa_sim_blk vdpa_sim_net
done
checks guest counts --compare /tmp/before --slack-kb 16384
