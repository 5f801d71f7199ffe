# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: vp_vdpa on a function that is broken, does not answer, or vanishes
# debugging: no, ifcvf-faults does it there with the same code
# modules: ours/vdpa ours/virtio_vdpa ours/vp_vdpa stock/virtio_net
# tools: vdpa guest
# files: tests/model.sh
# cpus: 3
# timeout: 300
# model:
# iommu: intel
# append: initcall_blacklist=virtio_pci_driver_init intel_iommu=on

# shellcheck disable=SC2034 # For model.sh.
driver=vp-vdpa
. /files/model.sh

stream() {
	ip link set "$(interface_at 0)" up && guest frames --if "$(interface_at 0)" --count 100 --size 1514
}

mark() {
	echo "mark $((marks += 1))" >/dev/kmsg
}

# said TEXT: since the last mark.
said() {
	dmesg | sed "1,/mark $marks\$/d" | grep -F "vp-vdpa $(function_of 0): " | grep -qF -e "$1"
}

# broken FAULT ERRNO TEXT: the function is refused with it, and the user is told why.
broken() {
	mark
	model 0 fault "$1"
	refused "$1: the function is refused" "$2" bind 0
	check "$1: the log says '$3'" said "$3"
	model 0 heal
}

marks=0
load stock/virtio_net
load ours/vdpa
load ours/virtio_vdpa
load ours/vp_vdpa
echo vp-vdpa >"/sys/bus/pci/devices/$(function_of 0)/driver_override"
check "a function with nothing wrong is taken" bind 0
check "a device is made" add 0
check "it works" stream
check "it is deleted" vdpa dev del vf0
unbind 0
unload vp_vdpa
guest counts >/tmp/before
load ours/vp_vdpa
unbind 0

eio="Input/output error"
broken cap-missing:notify "$eio" "there is no PCI capability for the notification"
broken cap-offset:common:0xfffffff0 "$eio" "the common configuration has 0x38 bytes at 0xfffffff0 in BAR 0"
broken multiplier:1 "$eio" "the doorbell of virtqueue 1 is at 1 times 1"
broken queue-size:3 "$eio" "virtqueue 0 has 3 descriptors, must be a power of two"
broken features:0x20 "$eio" "there is an IOMMU, which it goes past"
broken ones:common "No such device" "the device is not there any more: all registers read as ones"

check "the function is taken again" bind 0
check "a device is made" add 0
check "it works" stream
mark
model 0 fault reset:never
check "a device that does not reset is deleted" vdpa dev del vf0
check "the log says so" said "s for the device to reset"
check "the function may not do DMA" eval "model 0 report | grep -q 'bus-master false'"
model 0 heal
check "a device is made again" add 0
check "it works" stream
check "it is deleted" vdpa dev del vf0
unbind 0

# life: from bind to unbind, whatever is still there of it.
life() {
	bind 0 2>/dev/null || return 0
	if add 0 2>/dev/null; then
		ip link set "$(interface_at 0 2>/dev/null)" up 2>/dev/null
		vdpa dev config show vf0 >/dev/null 2>&1
		vdpa dev del vf0 || return
	fi
	unbind 0
}

accesses() {
	echo $(($(counter 0 register-reads) + $(counter 0 register-writes)))
}

vanish_everywhere() {
	local at status
	for at in $(seq 0 3 "$1"); do
		model 0 fault "vanish:$at"
		life
		status=$?
		model 0 heal
		if [ "$status" != 0 ] || bound 0; then
			echo "at access $at" >&2
			return 1
		fi
	done
}

before=$(accesses)
check "its life" life
count=$(($(accesses) - before))
note "$count register accesses"
mark
check "it vanishes at any register access" vanish_everywhere $count
check "the log says so" said "the device is not there any more"
check "the function is bound again" bind 0
check "a device is made" add 0
check "it works" stream
check "the driver is unloaded with it in use" unload vp_vdpa
check "nothing is mapped" wait_for 5 eval "[ \$(counter 0 dma-mapped-now) = 0 ]"
check "nothing was accessed that was not mapped" test "$(counter 0 dma-refused)" = 0
checks guest counts --compare /tmp/before --slack-kb 8192
check "all is unloaded" unload virtio_vdpa vdpa
