# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: a character device is opened, used and closed while each allocation in turn fails
# debugging: only
# allocations: fail
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# tools: vdpa guest vhost-client
# files: tests/vhost-devices.sh

. /files/vhost-devices.sh

# What it needs is loaded with it, and stays.
load ours/vhost_vdpa
unload vhost_vdpa
checks guest failures --module /modules/ours/vhost_vdpa.ko --every 7
load ours/vhost_vdpa
load ours/vdpa_sim_net
load ours/vdpa_sim_blk
checks guest failures --mgmtdev vdpasim_net

check "a network device is made" add_net net0
checks vhost-client failures --dev "$(vhost_of net0)" --memfd
checks vhost-client bind --dev "$(vhost_of net0)"
check "a disk is made" add_blk blk0
checks vhost-client failures --dev "$(vhost_of blk0)" --anon
check "both are deleted" eval "vdpa dev del net0 && vdpa dev del blk0"
# The same with memory that is pinned.
unload vdpa_sim_net
load ours/vdpa_sim_net use_va=0
check "a network device that pins memory is made" add_net net0
for step in map map-batch unmap unmap-half start close; do
	checks vhost-client failures --dev "$(vhost_of net0)" --anon --only $step
done
check "it is deleted" vdpa dev del net0
check "all is unloaded" unload vdpa_sim_net vdpa_sim_blk vdpa_sim vhost_vdpa vdpa
