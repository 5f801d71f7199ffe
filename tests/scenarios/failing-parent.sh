# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: a parent that fails in each step, and what the transport asks of one that does not
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_test ours/vdpa_sim_net stock/virtio_net
# tools: vdpa guest
# cpus: 2
# timeout: 120

is_unbound() {
	[ ! -e "/sys/bus/vdpa/devices/$1/driver" ]
}

has_interface() {
	ls "/sys/bus/vdpa/devices/$1"/virtio*/net
}

# stat QUEUE NAME: one of the device's statistics.
stat() {
	vdpa -jp dev vstats show test0 qidx "$1" | sed -n "s/.*\"$2\": *\"\{0,1\}\([0-9]*\).*/\1/p"
}

is() {
	local value
	value=$(stat "$1" "$2")
	echo "$2 of virtqueue $1 is '$value', not '$3'" >&2
	[ "$value" = "$3" ]
}

load ours/vdpa
load ours/virtio_vdpa
load stock/virtio_net
guest counts >/tmp/before

# Steps in which there is no device: the user is told, and nothing is there.
for step in 1 2; do
	load ours/vdpa_test fail=$step
	refused "step $step: the device is refused" "" vdpa dev add name test0 mgmtdev vdpa_test
	check "step $step: there is none" eval "! vdpa dev show | grep -q ."
	check "step $step: the module is unloaded" unload vdpa_test
done
# Steps in which no driver can use it: it is there, without one.
for step in 3 4; do
	load ours/vdpa_test fail=$step
	check "step $step: the device is made" vdpa dev add name test0 mgmtdev vdpa_test
	check "step $step: no driver takes it" is_unbound test0
	check "step $step: it is deleted" vdpa dev del test0
	check "step $step: the module is unloaded" unload vdpa_test
done
# Steps in which virtio_net cannot use it.
for step in 5 6 7 8 9; do
	load ours/vdpa_test fail=$step
	check "step $step: the device is made" vdpa dev add name test0 mgmtdev vdpa_test
	check "step $step: there is no interface" eval "! has_interface test0"
	check "step $step: it is deleted" vdpa dev del test0
	check "step $step: the module is unloaded" unload vdpa_test
done
# A reset that fails keeps nobody from going.
load ours/vdpa_test fail=10
check "step 10: the device is made" vdpa dev add name test0 mgmtdev vdpa_test
check "step 10: it is deleted" vdpa dev del test0
check "step 10: the module is unloaded" unload vdpa_test
refused "there is no step 11" "" load ours/vdpa_test fail=11

load ours/vdpa_test
check "without failures there is an interface" eval "vdpa dev add name test0 mgmtdev vdpa_test && has_interface test0"
interface=$(has_interface test0)
for queue in 0 1; do
	check "virtqueue $queue has its own size" is $queue descriptors $((64 << queue))
	check "virtqueue $queue is packed" is $queue "starts as packed" 1
	check "virtqueue $queue is notified with data only" is $queue kicks 0
	check "virtqueue $queue is for both processors" is $queue processors 2
done
check "the receive queue was announced with its buffers" eval "ip link set $interface up && [ \$(stat 0 'kicks with data') -gt 0 ]"
# Nobody answers. That it is sent is seen in what the device counts.
arping -c 2 -w 2 -I "$interface" 10.0.0.1 >/dev/null
check "the transmit queue was, too" eval "ip link set $interface down && [ \$(stat 1 'kicks with data') -gt 0 ]"
# Bits 0 to 15 are the virtqueue, above them is the index.
check "the data names the virtqueue" eval "[ \$((\$(stat 1 'last data') & 0xffff)) = 1 ]"
check "the device is deleted" vdpa dev del test0

check "all is unloaded" unload vdpa_test
checks guest counts --compare /tmp/before --slack-kb 2048
check "and the bus" unload virtio_vdpa vdpa
