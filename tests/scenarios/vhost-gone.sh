# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: devices are taken away while a process holds them
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# tools: vdpa vhost-client guest
# files: tests/vhost-devices.sh
# cpus: 2
# timeout: 180

. /files/vhost-devices.sh

load ours/vdpa
load ours/vhost_vdpa
guest counts >/tmp/before
for use_va in 1 0; do
	load ours/vdpa_sim_net use_va=$use_va
	load ours/vdpa_sim_blk use_va=$use_va
	for use in opened owned running; do
		check "a device is added" add_net net0
		gone net0 $use vdpa dev del net0
	done
	# The debugging kernel does not have userfaultfd.
	if ! debugging; then
		check "a device is added" add_net net0
		gone net0 waiting vdpa dev del net0
		if [ $use_va = 1 ]; then
			check "a device is added" add_blk blk0
			checks vhost-client pieces --dev "$(vhost_of blk0)"
			checks vhost-client absent --dev "$(vhost_of blk0)"
			gone blk0 absent vdpa dev del blk0
			check "a device is added" add_blk blk0
			gone blk0 absent rmmod vdpa_sim_blk
			load ours/vdpa_sim_blk use_va=1
		fi
	fi
	check "a device is added" add_net net0
	check "another is added" add_blk blk0
	gone net0 running sh -c "echo net0 >/sys/bus/vdpa/drivers/vhost_vdpa/unbind"
	check "it is bound again" sh -c "echo net0 >/sys/bus/vdpa/drivers/vhost_vdpa/bind"
	drive_net net0
	gone net0 running rmmod vdpa_sim_net
	gone blk0 running rmmod vdpa_sim_blk
	unload vdpa_sim
done
checks guest counts --compare /tmp/before --slack-kb 8192
