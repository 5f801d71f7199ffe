# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: net and block I/O through character devices, suspended, restored, in two address spaces
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk ours/vdpa_bounce
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
echo 16 >/proc/sys/vm/nr_hugepages

for memory in --anon --memfd --hugetlb; do
	drive_net net0 $memory
	drive_blk blk0 $memory
done
# Messages of the first format, and what else rings can do.
drive_net net0 --v1 --event-idx
drive_net net0 --event-idx --indirect
drive_blk blk0 --v1 --indirect
drive_blk blk0 --event-idx --indirect
checks vhost-client states --dev "$(vhost_of net0)"
checks vhost-client states --dev "$(vhost_of net0)" --event-idx --indirect --seed 2
checks vhost-client states --dev "$(vhost_of blk0)"

for batch in 0 1; do
	drive_files $batch
done

echo 0 >/proc/sys/vm/nr_hugepages
check "the network device is deleted" vdpa dev del net0
check "the block device is deleted" vdpa dev del blk0
checks guest counts --compare /tmp/before --slack-kb 8192
