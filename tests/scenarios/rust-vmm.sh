# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: the tests that crate vhost has for character devices, on both simulators
# debugging: no, vhost-ioctls and vhost-maps look closer
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk stock/9p stock/9pnet_virtio
# tools: vdpa guest
# files: tests/others.sh tests/vhost-devices.sh
# others: yes
# memory: 2G

. /files/others.sh
. /files/vhost-devices.sh

# tests OPTION...: of the first character device.
tests() {
	others /tests/vhost --test-threads=1 --nocapture "$@" >/tmp/tests 2>&1
	cat /tmp/tests
}

# pass NUMBER OPTION...: so many do. What they do not find, or what does not exist, they count as passed, too.
pass() {
	local number=$1
	shift
	tests "$@" vdpa_kern
	grep -q "^test result: ok\. $number passed; 0 failed; 0 ignored;" /tmp/tests && ! grep -q SKIPPED /tmp/tests
}

# fails TEST TEXT: and says this.
fails() {
	tests "$1"
	grep -q "^test result: FAILED\. 0 passed; 1 failed;" /tmp/tests && tr -s '\n ' ' ' </tmp/tests | grep -q "$2"
}

is_first() {
	[ "$(vhost_of "$1")" = /dev/vhost-vdpa-0 ]
}

check "programs of others can be read" mount_others
package vhost
load ours/vdpa
load ours/vhost_vdpa
guest counts >/tmp/before
load ours/vdpa_sim_net
load ours/vdpa_sim_blk
check "a network device is added" eval "add_net net0 && is_first net0"
check "all tests pass" pass 4
check "it is deleted" vdpa dev del net0
check "a block device is added" eval "add_blk blk0 && is_first blk0"
check "three tests pass" pass 3 --skip ioctls
# As of the simulator in C: its configuration has got longer since the test was written.
check "the fourth wants another size of the configuration" fails ioctls "left: 96 right: 60 "
check "the simulators are unloaded" unload_simulators
load ours/vdpa_sim_net use_va=0
check "a network device that pins memory is added" eval "add_net net0 && is_first net0"
check "three tests pass on it" pass 3 --skip dma
# C maps the page that this memory begins in the middle of, so that each byte is another than was asked for.
check "the fourth maps memory that is not aligned" fails dma "code: 22, kind: InvalidInput"
check "the simulator is unloaded" unload_simulators
checks guest counts --compare /tmp/before --slack-kb 8192
