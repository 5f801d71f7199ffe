# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: the sample devices: one that does nothing, and one that gives random bytes to virtio_rng
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_null ours/vdpa_rng stock/vhost_iotlb stock/virtio_rng
# tools: vdpa guest
# timeout: 120
# debugging: no, that kernel has no virtio_rng

# random FILE COUNT: reads as many bytes of the device.
random() {
	dd if=/dev/hwrng of="$1" bs=64 count=$(($2 / 64)) iflag=fullblock
	[ "$(stat -c %s "$1")" = "$2" ]
}

# is_random FILE: its bytes are none that something could be made of: what compresses is not.
is_random() {
	[ "$(gzip -c "$1" | wc -c)" -ge "$(stat -c %s "$1")" ]
}

load ours/vdpa
load ours/virtio_vdpa
load stock/vhost_iotlb
load stock/virtio_rng
guest counts >/tmp/before

load ours/vdpa_null
check "a device that does nothing is made" vdpa dev add name null0 mgmtdev vdpa_null
check "and taken" test -e /sys/bus/vdpa/devices/null0/virtio0
check "it goes with its module" unload vdpa_null

load ours/vdpa_rng
check "the management device says what it makes" eval "vdpa mgmtdev show vdpa_rng | grep -q 'max_supported_vqs 1'"
check "an entropy device is made" vdpa dev add name rng0 mgmtdev vdpa_rng
check "the kernel's driver takes it" eval "wait_for 10 grep -q virtio_rng /sys/class/misc/hw_random/rng_current"
check "it gives bytes" random /tmp/one 16384
check "and others the next time" random /tmp/two 16384
check "they are random" eval "is_random /tmp/one && is_random /tmp/two && ! cmp -s /tmp/one /tmp/two"
dd if=/dev/hwrng of=/dev/null bs=64 2>/dev/null &
reader=$!
check "it is deleted while it is read" vdpa dev del rng0
check "which ends that" eval "wait_for 10 eval '! kill -0 $reader'"
check "another one is made" vdpa dev add name rng1 mgmtdev vdpa_rng
check "which works too" eval "wait_for 10 grep -q virtio_rng /sys/class/misc/hw_random/rng_current && random /tmp/one 1024"
check "it goes with its module" unload vdpa_rng
checks guest counts --compare /tmp/before --slack-kb 2048
check "and the rest" unload virtio_rng virtio_vdpa vdpa
