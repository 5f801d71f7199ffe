# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: the tests that the netlink library for Go has for the family of vDPA
# debugging: no, bad-netlink and same-as-c look closer
# modules: ours/vdpa ours/vdpa_sim_net stock/vhost_iotlb stock/9p stock/9pnet_virtio
# tools: vdpa guest
# files: tests/others.sh
# others: yes
# memory: 2G

. /files/others.sh

# What is not there it skips.
passes() {
	others /tests/netlink -test.v -test.run 'VDPA|SetGetBits' >/tmp/tests 2>&1
	cat /tmp/tests
	[ "$(grep -c '^--- PASS' /tmp/tests)" = "$tests" ] && grep -qx PASS /tmp/tests && ! grep -q '^--- SKIP' /tmp/tests
}

check "programs of others can be read" mount_others
package golang-github-vishvananda-netlink-dev
load stock/vhost_iotlb
load ours/vdpa
guest counts >/tmp/before
load ours/vdpa_sim_net
tests=$(others /tests/netlink -test.list 'VDPA|SetGetBits' | grep -c ^Test)
check "there are tests" test "$tests" -ge 14
check "all $tests pass" passes
check "nothing is left" eval "! vdpa dev show | grep -q ."
check "the simulator is unloaded" unload_simulators
checks guest counts --compare /tmp/before --slack-kb 8192
