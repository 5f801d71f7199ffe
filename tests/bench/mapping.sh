# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: what mapping costs behind an IOMMU, with the stock character device, ours, and VFIO
# modules: ours/vdpa stock/vhost_vdpa ours/vhost_vdpa ours/vp_vdpa
# tools: vdpa vhost-client
# files: tests/vhost-devices.sh tests/vp-vdpa.sh tests/results.sh
# icount: yes
# cpus: 1
# timeout: 900
# append: intel_iommu=on
# qemu: -machine q35 -device intel-iommu,caching-mode=on,device-iotlb=on
# qemu: -device virtio-rng-pci,iommu_platform=on,disable-legacy=on,addr=7

. /files/vhost-devices.sh
. /files/vp-vdpa.sh
. /files/results.sh

# measure WHO COMMAND...: runs the client's benchmark of mappings.
measure() {
	local who=$1
	shift
	if ! "$@" >/tmp/bench 2>&1; then
		fail "measured: $who | IOMMU" "$(cat /tmp/bench)"
	fi
	sed -n "s/^bench: /bench: $who | IOMMU, /p" /tmp/bench
	measured=$((measured + 1))
}

# For memory in huge pages.
echo 40 >/proc/sys/vm/nr_hugepages
load ours/vdpa
load ours/vp_vdpa
give 7
vdpa dev add name rng0 mgmtdev "pci/$(function_at 7)"
for who in c ours c ours c ours; do
	# The C driver has a limit of 2,048 mappings by default, with which half of this fails.
	case $who in
	c) load stock/vhost_vdpa max_iotlb_entries=200000 ;;
	ours) load ours/vhost_vdpa ;;
	esac
	measure $who vhost-client bench --dev "$(vhost_of rng0)" --only mappings
	unload vhost_vdpa
done
all_measured
