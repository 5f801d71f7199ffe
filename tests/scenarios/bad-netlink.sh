# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: malformed netlink messages, and refusals that users see
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk stock/virtio_net
# tools: vdpa guest
# timeout: 180

# A debugging kernel takes its time for each message, and more for each device. Still more of these are listed
# than fit into one answer.
counts="--many 60 --fuzz 20000"
! debugging || counts="--many 30 --fuzz 500"

load ours/vdpa
load ours/virtio_vdpa
load stock/virtio_net
load ours/vdpa_sim_net
load ours/vdpa_sim_blk

# shellcheck disable=SC2086 # Options.
checks guest netlink-bad $counts --seed 1

check "a device is added" vdpa dev add name net0 mgmtdev vdpasim_net
refused "a name that is taken" "net0" vdpa dev add name net0 mgmtdev vdpasim_net
refused "and by another kind" "net0" vdpa dev add name net0 mgmtdev vdpasim_blk
refused "an unknown management device" "none" vdpa dev add name net1 mgmtdev none
refused "an unknown device" "none" vdpa dev del none
refused "attributes of the wrong class" "vdpasim_blk" vdpa dev add name b mgmtdev vdpasim_blk mtu 1500
refused "attributes that are not supported" "vdpasim_net" vdpa dev add name n mgmtdev vdpasim_net max_vqp 2
refused "features that are not there" "" vdpa dev add name n mgmtdev vdpasim_net device_features 0x8000000000000000
refused "statistics of a queue that is not there" "3" vdpa dev vstats show net0 qidx 3
check "nothing came of all that" eval "[ \$(vdpa dev show | wc -l) = 1 ]"
check "the device is deleted" vdpa dev del net0
check "the modules are unloaded" unload vdpa_sim_net vdpa_sim_blk vdpa_sim virtio_vdpa vdpa
