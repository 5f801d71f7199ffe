# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: messages about mappings that pin memory
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net
# tools: vdpa vhost-client guest
# files: tests/vhost-devices.sh
# timeout: 240

. /files/vhost-devices.sh

load ours/vdpa
load ours/vhost_vdpa
guest counts >/tmp/before
for batch in 1 0; do
	load ours/vdpa_sim_net use_va=0 max_iotlb_entries=200000 batch_mapping=$batch
	check "a device is added" add_net net0
	checks vhost-client maps --dev "$(vhost_of net0)"
	checks vhost-client maps --dev "$(vhost_of net0)" --memfd
	check "it goes with its module" unload vdpa_sim_net
done
checks guest counts --compare /tmp/before --slack-kb 8192
