# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: callbacks of a parent that reads them without a lock, and calls them at any time
# modules: ours/vdpa ours/vdpa_worst ours/vhost_vdpa ours/virtio_vdpa ours/vdpa_sim_net stock/virtio_net
# tools: vdpa vhost-client guest
# files: tests/vhost-devices.sh tests/worst.sh
# cpus: 2
# timeout: 100

. /files/vhost-devices.sh
. /files/worst.sh

again() {
	vdpa dev add name worst0 mgmtdev vdpa_worst
}

# How often the parent has called since it was asked the last time.
has_called() {
	[ "$(seen called)" -gt 100 ]
}

# There is no other virtio device.
interface() {
	ls /sys/bus/virtio/devices/virtio*/net
}

# rebound DRIVER: another driver has the device, which the parent does not wait for.
rebound() {
	echo worst0 >/sys/bus/vdpa/devices/worst0/driver/unbind
	echo "$1" >/sys/bus/vdpa/devices/worst0/driver_override
	echo worst0 >/sys/bus/vdpa/drivers_probe
	[ "$(basename "$(readlink /sys/bus/vdpa/devices/worst0/driver)")" = "$1" ]
}

exchanged() {
	local left=10
	while [ $left -gt 0 ]; do
		rebound virtio_vdpa && ip link set "$(interface)" up && rebound vhost_vdpa || return
		left=$((left - 1))
	done
}

up_and_down() {
	local left=5
	while [ $left -gt 0 ]; do
		ip link set "$(interface)" up && ip link set "$(interface)" down || return
		left=$((left - 1))
	done
}

load_worst stray=1
load ours/vdpa_sim_net
load ours/vhost_vdpa
load ours/virtio_vdpa
load stock/virtio_net
guest counts >/tmp/before

check "a device is added" add_worst
checks vhost-client stress --dev "$(vhost_of worst0)" --rounds 10 --count 50
check "it has called" has_called
for use in opened owned running; do
	gone worst0 $use vdpa dev del worst0
	check "it is added again" again
done
gone worst0 running sh -c "echo worst0 >/sys/bus/vdpa/drivers/vhost_vdpa/unbind"
check "it is bound again" sh -c "echo worst0 >/sys/bus/vdpa/drivers/vhost_vdpa/bind"
checks vhost-client net --dev "$(vhost_of worst0)" --count 100
# Whatever address random commands have given it.
check "both are made anew" eval "vdpa dev del worst0 && vdpa dev del net0 && add_worst"
check "two drivers take turns" exchanged
check "it is the kernel's" rebound virtio_vdpa
check "it has called there" has_called
check "an interface comes up and goes down" up_and_down
check "it is deleted" vdpa dev del worst0
check "and what it worked with" vdpa dev del net0
checks guest counts --compare /tmp/before --slack-kb 8192
check "a device is added for the last time" add_worst
check "it goes with its module" unload vdpa_worst
check "and so do the others" unload vdpa_sim_net vhost_vdpa virtio_vdpa vdpa
