# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: a parent that takes its time keeps only those waiting who want something of it
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_sim_net ours/vdpa_test stock/virtio_net
# tools: vdpa guest
# cpus: 2
# timeout: 300

# What one operation of the parent takes, so that all that is done meanwhile is done long before.
delay=5000
! debugging || delay=15000

# meanwhile WHAT COMMAND...: the check passes if it succeeds while the slow command is being done.
meanwhile() {
	local what=$1
	shift
	check "$what" "$@" && check "$what: without waiting" kill -0 "$slow"
}

# slowly COMMAND...: begins it, and returns when it has begun.
slowly() {
	"$@" >/tmp/slow 2>&1 &
	slow=$!
	# It may be one that the parent does not begin with, then it waits.
	usleep 300000
}

# done_well WHAT: the slow command succeeds.
done_well() {
	check "$1" wait "$slow"
}

shown() {
	vdpa dev show | grep -q "^$1:"
}

# ends WHAT: it does, when it is told to, though what it waits for does not.
ends() {
	kill "$1"
	wait_for 2 eval "! kill -0 $1 2>/dev/null"
}

load stock/virtio_net
guest counts >/tmp/before
load ours/vdpa
load ours/virtio_vdpa
load ours/vdpa_sim_net
load ours/vdpa_test delay=$delay managements=2
check "a device of another parent is made" vdpa dev add name net0 mgmtdev vdpasim_net mac 52:54:00:12:34:56

slowly vdpa dev add name slow0 mgmtdev vdpa_test
meanwhile "management devices are shown" eval "vdpa mgmtdev show | grep -q '^vdpa_test:'"
meanwhile "devices are shown" shown net0
check "but not the one that is being made" eval "! shown slow0"
meanwhile "a configuration is shown" eval "vdpa dev config show net0 | grep -q 52:54:00:12:34:56"
meanwhile "all configurations are" eval "vdpa dev config show | grep -q 52:54:00:12:34:56"
meanwhile "so are statistics" eval "vdpa dev vstats show net0 qidx 0 | grep -q 'rx packets'"
meanwhile "a device is changed" vdpa dev set name net0 mac 52:54:00:12:34:57
meanwhile "a device is made" vdpa dev add name net1 mgmtdev vdpasim_net mac 52:54:00:12:34:58
meanwhile "a device is deleted" vdpa dev del net1
meanwhile "a parent comes, and goes" eval "unload vdpa_sim_net && load ours/vdpa_sim_net"
# Two of one management device wait for each other.
vdpa dev add name slow1 mgmtdev vdpa_test >/tmp/second 2>&1 &
second=$!
vdpa dev add name slow2 mgmtdev vdpa_test >/tmp/third 2>&1 &
third=$!
usleep 300000
meanwhile "who waits for the same one can be killed" ends $third
done_well "the slow device is made"
check "it is shown" shown slow0
check "the one that waited is being made" kill -0 $second
slow=$second
meanwhile "a device of the one that is busy is shown" eval "vdpa dev show slow0 && vdpa dev config show slow0"

# That of the same driver, but another management device, has its own turn.
vdpa dev add name other0 mgmtdev vdpa_test1 >/tmp/third 2>&1 &
third=$!
done_well "the second is made"
check "it is shown, too" shown slow1
check "there is none of the one that was killed" eval "! shown slow2"
check "another management device was busy meanwhile" wait $third

slowly vdpa dev set name slow1 mac 52:54:00:12:34:59
meanwhile "all devices are shown while one is changed" eval "shown net9; shown slow0 && shown slow1"
done_well "it is changed"

slowly vdpa dev del slow0
meanwhile "a device that is being deleted is not shown" eval "! shown slow0"
meanwhile "the others are" shown slow1
refused "its name is still taken" 'the name "slow0" is taken' vdpa dev add name slow0 mgmtdev vdpasim_net
refused "it cannot be deleted twice" "" vdpa dev del slow0
done_well "it is deleted"
check "its name is free" vdpa dev add name slow0 mgmtdev vdpasim_net

# The driver goes while its parent is busy, and another command waits.
slowly vdpa dev del slow1
vdpa dev add name late0 mgmtdev vdpa_test1 >/tmp/third 2>&1 &
third=$!
usleep 300000
rmmod vdpa_test &
remover=$!
meanwhile "others do not wait for a driver that goes" shown slow0
check "the slow command is done, or comes too late" eval "wait $slow; true"
check "the one that waited is, too" eval "wait $third; true"
check "the driver is gone" wait $remover
check "with its devices" eval "! shown slow1 && ! shown other0 && ! shown late0 && shown slow0"
check "and management devices" eval "! vdpa mgmtdev show | grep -q '^vdpa_test'"
check "no two operations were done at a time" eval "! dmesg | grep 'two operations at a time'"
check "all is unloaded" unload vdpa_sim_net vdpa_sim virtio_vdpa vdpa vhost_iotlb
checks guest counts --compare /tmp/before --slack-kb 8192
