# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: every ioctl of a character device, good and bad
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# tools: vdpa vhost-client guest
# files: tests/vhost-devices.sh
# timeout: 240

. /files/vhost-devices.sh

load ours/vdpa
load ours/vhost_vdpa
load ours/vdpa_sim_net
load ours/vdpa_sim_blk
guest counts >/tmp/before
check "a network device is added" add_net net0
check "a block device is added" add_blk blk0
checks vhost-client ioctls --dev "$(vhost_of net0)"
checks vhost-client ioctls --dev "$(vhost_of blk0)"
check "the network device is deleted" vdpa dev del net0
check "the block device is deleted" vdpa dev del blk0
checks guest counts --compare /tmp/before --slack-kb 8192
