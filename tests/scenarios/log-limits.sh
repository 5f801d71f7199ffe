# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: who fills the log is stopped, and nobody else
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_test
# tools: vdpa vhost-client
# files: tests/vhost-devices.sh
# debugging: no, the log is what it is about
# timeout: 120

. /files/vhost-devices.sh

# said NAME TEXT: how often the log says so of a device.
said() {
	dmesg | grep -F "$1: " | grep -cF "$2"
}

# limited COUNT NAME TEXT: it was said, but not each of those times. How often it is depends on the time that they
# took: ten times in five seconds.
limited() {
	local count
	count=$(said "$2" "$3")
	if [ "$count" = 0 ] || [ "$count" -ge "$1" ]; then
		echo "said $count times" >&2
		return 1
	fi
}

# apart WHAT TEXT ONE OTHER: what is said of a device any number of times hides nothing of another one.
apart() {
	checks vhost-client complaints --dev "$(vhost_of "$3")" --what "$1" --count 60
	check "$1: it is not said each time of $3" limited 60 "$3" "$2"
	checks vhost-client complaints --dev "$(vhost_of "$4")" --what "$1" --count 1
	check "$1: it is said of $4" test "$(said "$4" "$2")" = 1
}

load ours/vdpa
load ours/vhost_vdpa max_iotlb_entries=1
for use_va in 1 0; do
	load ours/vdpa_sim_net use_va=$use_va
	for name in sim$use_va-1 sim$use_va-2; do
		check "a device is added" add_net "$name"
	done
	apart mappings "must be 1 or less (parameter max_iotlb_entries)" sim$use_va-1 sim$use_va-2
	apart features "the driver does not accept features 0x200000000, but must" sim$use_va-2 sim$use_va-1
	unload vdpa_sim_net
done

load ours/vdpa_test
for name in test1 test2; do
	check "a device is added" vdpa dev add name "$name" mgmtdev vdpa_test
done
apart opening "needs an IOMMU that makes accesses cache coherent" test1 test2
check "all is unloaded" unload vdpa_test vdpa_sim vhost_vdpa vdpa
