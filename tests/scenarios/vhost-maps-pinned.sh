# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: messages about mappings that pin memory
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net
# tools: vdpa vhost-client guest
# files: tests/vhost-devices.sh
# timeout: 240

. /files/vhost-devices.sh

# A debugging kernel takes its time for each page that is touched or mapped.
many=
! debugging || many="--count 1000 --mib 32"

load ours/vdpa
load ours/vhost_vdpa
guest counts >/tmp/before
for batch in 1 0; do
	load ours/vdpa_sim_net use_va=0 max_iotlb_entries=200000 batch_mapping=$batch
	check "a device is added" add_net net0
	pieces=
	[ $batch = 1 ] || pieces=--pieces
	for memory in "" --memfd; do
		# shellcheck disable=SC2086 # Options.
		checks vhost-client maps --dev "$(vhost_of net0)" $many $memory $pieces
	done
	check "it goes with its module" unload vdpa_sim_net vdpa_sim
done
checks guest counts --compare /tmp/before --slack-kb 8192
