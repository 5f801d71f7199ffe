# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: modelled cards through character devices: I/O, suspended, resumed, restored
# modules: ours/vdpa ours/vhost_vdpa ours/ifcvf
# tools: vdpa vhost-client guest
# files: tests/ifcvf.sh tests/model.sh tests/vhost-devices.sh
# cpus: 3
# timeout: 300
# model:
# model: card=c5000x-blk
# iommu: intel
# append: initcall_blacklist=virtio_pci_driver_init intel_iommu=on

. /files/ifcvf.sh
. /files/model.sh
. /files/vhost-devices.sh

vf=$(function_of 0)

load ours/vdpa
load ours/vhost_vdpa
# What is allocated once and kept is there when counting begins.
load ours/ifcvf
unload ifcvf
guest counts >/tmp/before
load ours/ifcvf
check "a network device is added" add_vf vf0
check "a block device is added" vdpa dev add name disk0 mgmtdev "pci/$(function_of 1)"
for memory in --anon --memfd; do
	drive_net vf0 $memory
done
checks vhost-client states --hardware --dev "$(vhost_of vf0)"
checks vhost-client states --hardware --memfd --dev "$(vhost_of disk0)"
check "the network device is deleted" vdpa dev del vf0

for use in opened owned running; do
	check "a network device is added" add_vf vf0
	gone vf0 $use sh -c "echo $vf >/sys/bus/pci/drivers/ifcvf/unbind"
	check "its function is given back" sh -c "echo $vf >/sys/bus/pci/drivers/ifcvf/bind"
done
check "a network device is added" add_vf vf0
gone vf0 running sh -c "echo 1 >/sys/bus/pci/devices/$vf/remove"
check "the function is found again" sh -c "echo 1 >/sys/bus/pci/rescan"
check "a network device is added" add_vf vf0
drive_net vf0
gone vf0 running rmmod ifcvf
checks guest counts --compare /tmp/before --slack-kb 8192
check "all is unloaded" unload vhost_vdpa vdpa
