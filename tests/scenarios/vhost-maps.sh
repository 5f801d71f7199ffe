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
# As many mappings as there can be, with their control group charged for them.
most="--most 65535"
# A debugging kernel has no control groups.
if ! debugging; then
	mkdir -p /sys/fs/cgroup
	check "control groups are there" mount -t cgroup2 none /sys/fs/cgroup
	check "with their memory" eval "echo +memory >/sys/fs/cgroup/cgroup.subtree_control"
	check "and one for the process" mkdir /sys/fs/cgroup/maps
	most="$most --group /sys/fs/cgroup/maps"
fi
# shellcheck disable=SC2086 # Options.
checks vhost-client maps --dev "$(vhost_of net0)" $most
checks vhost-client maps --dev "$(vhost_of net0)" --memfd
check "it is deleted" vdpa dev del net0
checks guest counts --compare /tmp/before --slack-kb 8192
