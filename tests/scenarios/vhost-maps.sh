# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: messages about mappings, good and bad, and what the device reaches
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net
# tools: vdpa vhost-client guest
# files: tests/vhost-devices.sh
# timeout: 240

. /files/vhost-devices.sh

load ours/vdpa
load ours/vhost_vdpa
load ours/vdpa_sim_net max_iotlb_entries=200000
guest counts >/tmp/before
check "a device is added" add_net net0
checks vhost-client maps --dev "$(vhost_of net0)"
checks vhost-client maps --dev "$(vhost_of net0)" --memfd
check "it is deleted" vdpa dev del net0
checks guest counts --compare /tmp/before --slack-kb 8192
