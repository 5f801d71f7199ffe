# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: ifcvf on functions that are broken in every way: it says what is wrong, and goes on
# modules: ours/vdpa ours/virtio_vdpa ours/vhost_vdpa ours/ifcvf stock/virtio_net stock/vhost_iotlb
# tools: vdpa guest vhost-client
# files: tests/model.sh tests/vhost-devices.sh
# cpus: 3
# timeout: 600
# debugging: only
# model:
# model: pairs=2,mac=52:54:00:00:00:01
# model: fault=chain:loop
# model: fault=chain:low
# model: fault=chain:beyond
# model: fault=chain:end
# model: fault=chain:empty
# model: fault=msix:0
# model: fault=msix:1,mac=52:54:00:00:00:08
# iommu: intel
# append: initcall_blacklist=virtio_pci_driver_init intel_iommu=on

. /files/model.sh
. /files/vhost-devices.sh

stream() {
	ip link set "$(interface_at "$1")" up && guest frames --if "$(interface_at "$1")" --count 100 --size 1514
}

# From here on messages of the kernel count.
mark() {
	echo "mark $((marks += 1))" >/dev/kmsg
}

# times TEXT [NUMBER]: how often it was said since the last mark, of device 0 or the one named.
times() {
	dmesg | sed "1,/mark $marks\$/d" | grep -F "ifcvf $(function_of "${2:-0}"): " | grep -cF -e "$1"
}

# said TEXT [NUMBER]: whether it was.
said() {
	[ "$(times "$@")" -gt 0 ]
}

# limited COUNT TEXT [NUMBER]: it was, but not each of those times. How often it is depends on the time that they
# took: ten times in five seconds.
limited() {
	local most=$1 count
	shift
	count=$(times "$@")
	if [ "$count" = 0 ] || [ "$count" -ge "$most" ]; then
		echo "said $count times" >&2
		return 1
	fi
}

# broken FAULT ERRNO TEXT: a function with that fault is refused, and the user is told why.
broken() {
	mark
	model 0 fault "$1"
	refused "$1: the function is refused" "$2" bind 0
	check "$1: the log says '$3'" said "$3"
	model 0 heal
}

# refused_from_start NUMBER NAME ERRNO TEXT: the same for one that was broken from the start.
refused_from_start() {
	mark
	refused "$2: the function is refused" "$3" bind "$1"
	check "$2: the log says '$4'" said "$4" "$1"
}

# in_pieces COMMAND...: fails if it allocates memory in one piece of more than two pages and cannot do
# without, which the kernel complains about where there is none.
pieces=/sys/kernel/tracing/events/kmem/mm_page_alloc
in_pieces() {
	local status
	echo $$ >/sys/kernel/tracing/set_event_pid
	echo "order > 1" >$pieces/filter
	echo 1 >$pieces/enable
	"$@"
	status=$?
	echo 0 >$pieces/enable
	# The others are attempts, and stacks of processes.
	! grep "mm_page_alloc:" /sys/kernel/tracing/trace | grep -vE "GFP_NOWAIT|__GFP_NOWARN|GFP_KERNEL_ACCOUNT" &&
		return $status
}

# within SECONDS COMMAND...: runs it, and fails if it takes longer.
within() {
	local limit=$1 begin
	begin=$(date +%s)
	shift
	"$@" || return
	[ $(($(date +%s) - begin)) -le "$limit" ] || { echo "took longer than $limit s" >&2; return 1; }
}

marks=0
load stock/virtio_net
load stock/vhost_iotlb
load ours/vdpa
load ours/virtio_vdpa
load ours/ifcvf
check "allocations can be seen" mount -t tracefs none /sys/kernel/tracing
# What is allocated once and kept is there when counting begins.
in_pieces true
for number in 0 1; do
	add $number
	stream $number >/dev/null
	vdpa dev del vf$number
done
unload ifcvf
guest counts >/tmp/before

load ours/ifcvf
check "functions with nothing wrong are taken" eval "bound 0 && bound 1 && bound 8"
check "functions that are broken are not" eval "! bound 2 && ! bound 7"
for number in 0 1 8; do
	unbind $number
done

# --- What the capabilities say ---

eio="Input/output error"
refused_from_start 2 chain:loop "$eio" "the list of PCI capabilities does not end"
refused_from_start 3 chain:low "$eio" "the list of PCI capabilities goes on at 0x10"
refused_from_start 4 chain:beyond "$eio" "the PCI capability for the notification at 0xfc has 4 bytes"
refused_from_start 5 chain:end "$eio" "the PCI capability for the notification at 0xf8 has 8 bytes"
refused_from_start 6 chain:empty "$eio" "there is no PCI capability for the"
refused_from_start 7 msix:0 "$eio" "the device has no MSI-X vectors"
for kind in common notify isr device; do
	broken cap-missing:$kind "$eio" "there is no PCI capability for the"
done
broken cap-len:common:15 "$eio" "the PCI capability for the common configuration at 0x50 has 15 bytes"
broken cap-len:notify:16 "$eio" "the PCI capability for the notification at 0x80 has 16 bytes"
for bar in 1 3 5; do
	broken cap-bar:common:$bar "$eio" "the common configuration is in BAR $bar, which is missing"
done
broken cap-bar:isr:6 "$eio" "the ISR status is in BAR 6, must be in one of 0 to 5"
broken cap-bar:device:255 "$eio" "the device configuration is in BAR 255, must be in one of 0 to 5"
broken cap-offset:common:0xfffffff0 "$eio" "the common configuration has 0x38 bytes at 0xfffffff0 in BAR 0"
broken cap-offset:common:2 "$eio" "the common configuration is at 0x2 in its BAR"
broken cap-offset:isr:0x8000 "$eio" "the ISR status has 0x4 bytes at 0x8000 in BAR 0, which has 0x8000"
broken cap-length:device:0xffffffff "$eio" "the device configuration has 0xffffffff bytes at 0x2000 in BAR 0"
broken cap-length:common:8 "$eio" "the common configuration has 8 bytes, must have 56"
broken cap-length:notify:0 "$eio" "the notification has 0 bytes, must have 2"

# --- What registers say ---

broken multiplier:0x80000000 "$eio" "the doorbell of virtqueue 1 is at 1 times 2147483648"
broken multiplier:0xffffffff "$eio" "the doorbell of virtqueue 1 is at 1 times 4294967295"
broken multiplier:1 "$eio" "the doorbell of virtqueue 1 is at 1 times 1"
broken notify-off:65535 "$eio" "the doorbell of virtqueue 0 is at 65535 times 4096"
broken queue-size:0 "$eio" "all virtqueues are unavailable"
broken queue-size:3 "$eio" "virtqueue 0 has 3 descriptors, must be a power of two"
broken queue-size:1:65535 "$eio" "virtqueue 1 has 65535 descriptors, must be a power of two"
broken queues:0 "$eio" "there are 0 virtqueues"
broken features:0x20 "$eio" "there is an IOMMU, which it goes past"
broken queues:65535 "$eio" "there are 65535 virtqueues"
broken queues:2000 "$eio" "BAR 4 has 0x1000 bytes of memory"
broken ones:common "No such device" "the device is not there any more: all registers read as ones"
broken vanish:0 "No such device" "the device is not there any more: all registers read as ones"

# --- Memory ---

model 0 fault queues:1000
check "a function with 1000 virtqueues needs no large pieces of memory" in_pieces bind 0
unbind 0
model 0 heal

# --- Time ---

# Who used the device could not reset it, and nor can who wants to next.
bind 0
add 0
stream 0 >/dev/null
model 0 fault reset:never
check "reset:never: the function is unbound" within 30 unbind 0
mark
refused "reset:never: the function is refused" "Connection timed out" bind 0
check "reset:never: the log says why" said "s for the device to reset: its status is 0x0f, not 0"
model 0 heal
model 0 fault reset:20
check "a reset that takes its time is waited for" within 15 bind 0
model 0 heal
check "the device is added" add 0
check "it works" stream 0

# --- While it is in use ---

# A link that goes down and up all the time, and a configuration that changes while it is read.
config() {
	vdpa dev config show vf0
}

model 0 fault flap:20
for attempt in 1 2 3 4 5; do
	check "the link flaps: the configuration can be read ($attempt)" config
	usleep 100000
done
model 0 heal
check "the interface works afterwards" wait_for 5 stream 0

# Both states of the address, never half of one and half of the other.
whole_address() {
	config | grep -q -e "mac 52:54:00:12:34:56 " -e "mac 52:ab:ff:ed:cb:a9 "
}

for times in 1 2 3 4 5 6 7 8 9 10; do
	model 0 fault churn:$times:$times
	check "the configuration changes $times times after $times reads: none is torn" whole_address
	model 0 heal
done
mark
model 0 fault churn:1
check "a configuration that never stops changing is not waited for long" within 15 config
check "the log says so" said "s for the configuration not to change while it is read"
model 0 heal

check "the device is deleted" vdpa dev del vf0

# What the driver of the interface is told.
not_set_up() {
	add 0 && usleep 100000 && ! interface_at 0
}

mark
model 0 fault vectors:refused
check "vectors:refused: the device is added" within 15 add 0
check "the log says that it cannot work" said "there are no interrupts for 2 virtqueues and the configuration"
check "vectors:refused: it is deleted" vdpa dev del vf0
model 0 heal

mark
model 0 fault enables:1:0
check "enables:1:0: the device is added" within 15 add 0
check "the log says that it cannot work" said "virtqueue 1 was enabled, but its register says that it is not"
check "the other virtqueue is not enabled either" \
	eval "model 0 report | grep -q '^queue 0 enabled false'"
check "enables:1:0: it is deleted" vdpa dev del vf0
model 0 heal

for fault in features-ok:refused queue-size:0:0 queue-size:1:0; do
	unbind 0
	model 0 fault $fault
	check "$fault: the function itself is taken" bind 0
	check "$fault: there is no interface" within 15 not_set_up
	check "$fault: the device is deleted" vdpa dev del vf0
	model 0 heal
done

# No reset: what the device has may not be used for something else.
unbind 0
bind 0
add 0
stream 0 >/dev/null
mark
model 0 fault reset:never
check "a device that does not reset is deleted" within 30 vdpa dev del vf0
check "the log says so" said "s for the device to reset"
check "and what is forbidden" said "no DMA until a reset succeeds"
check "the function may not do DMA" eval "model 0 report | grep -q 'bus-master false'"
model 0 heal
check "the device is added again" add 0
check "it works" stream 0

# Nor may one that only looks as if it was gone.
mark
model 0 fault ones:common
check "a device whose registers read as ones is deleted" within 30 vdpa dev del vf0
check "the log says so" said "no DMA until a reset succeeds"
check "the function may not do DMA" eval "model 0 report | grep -q 'bus-master false'"
model 0 heal
unbind 0
check "the function is bound again" bind 0
check "the device is added again" add 0
check "it works" stream 0

# --- A device that accesses what it should not ---

refused_before=$(counter 0 dma-refused)
check "all that was accessed was mapped" test "$refused_before" = 0
model 0 fault stray:0x123456780000
check "a stray device works" stream 0
check "but what is not mapped for it is refused" test "$(counter 0 dma-refused)" -gt 0
model 0 heal

# --- A function that vanishes ---

# life: from bind to unbind, whatever is still there of it.
life() {
	bind 0 2>/dev/null || return 0
	if add 0 2>/dev/null; then
		ip link set "$(interface_at 0 2>/dev/null)" up 2>/dev/null
		config >/dev/null 2>&1
		vdpa dev del vf0 || return
	fi
	unbind 0
}

unbind 0
before=$(counter 0 register-reads)
before=$((before + $(counter 0 register-writes)))
check "its life" life
after=$(counter 0 register-reads)
accesses=$((after + $(counter 0 register-writes) - before))
note "$accesses register accesses"

vanish() {
	model 0 fault "vanish:$1" && within 15 life
	local status=$?
	model 0 heal
	! bound 0 && return $status
}

# Each life takes the debugging kernel seconds.
step=1
! debugging || step=4

vanish_everywhere() {
	local at
	for at in $(seq 0 "$step" "$accesses"); do
		vanish "$at" || { echo "at access $at" >&2; return 1; }
	done
}

mark
check "it vanishes at any register access" vanish_everywhere
check "the log says so" said "the device is not there any more"
check "the function is bound again" bind 0
check "the device is added again" add 0
check "it works" stream 0

# In use: nothing is there for those who send.
mark
check "there is traffic" busy "$(interface_at 0)"
model 0 fault vanish:0
check "it vanishes, and is deleted" within 20 vdpa dev del vf0
check "traffic has ended" eval "! wait $!"
check "the log says so" said "the device is not there any more"
refused "no device can be made of it" "No such device" add 0
check "the function is unbound" unbind 0
model 0 heal

# --- All others ---

check "a function with one vector is taken" bind 8
mark
check "a device is added" add 8
check "the log says what it lacks" said "fewer than 3 interrupt vectors are to be had" 8
check "it works" stream 8
check "the function beside it is taken" bind 1
check "a device is added" add 1
check "it works" stream 1
check "the function that was broken is taken" bind 0
check "a device is added" add 0
check "it works" stream 0
check "the driver is unloaded with all in use" unload ifcvf
for number in 0 1 8; do
	check "device $number: nothing is mapped" \
		wait_for 5 eval "[ \$(counter $number dma-mapped-now) = 0 ]"
done
check "the transport is unloaded" unload virtio_vdpa

# --- Virtqueues that do not stop or go on, which only who suspends a device wants them to ---

suspend() {
	vhost-client states --hardware --dev "$(vhost_of vf0)"
}

# unwilling NUMBER STEP: what a fault keeps it from leaves it as it is.
unwilling() {
	checks vhost-client states --unwilling "$2" --dev "$(vhost_of "vf$1")"
}

load ours/vhost_vdpa
load ours/ifcvf
check "a device is added" add 0
check "it is suspended and resumed" suspend
mark
model 0 fault stop:never
unwilling 0 suspend
check "the log says why" said "s for virtqueue 0 to stop: it is still enabled"
model 0 heal
model 0 fault stop:1200
unwilling 0 suspend
model 0 heal
check "now it can be suspended" suspend
check "a device with more virtqueues is added" add 1
mark
model 1 fault enables:2:1
unwilling 1 resume
check "the log says why" said "virtqueue 2 was enabled, but its register says that it is not" 1
model 1 heal

# --- What a driver can cause as often as it likes ---

# complaints NUMBER COUNT: a device is started that many times.
complaints() {
	checks vhost-client complaints --what interrupts --count "$2" --dev "$(vhost_of "vf$1")"
}

check "a device with one vector is added" add 8
mark
complaints 8 60
check "what it lacks is not said each time" limited 60 "fewer than 3 interrupt vectors are to be had" 8
mark
model 1 fault vectors:refused
complaints 1 60
check "that it cannot work is not said each time" limited 60 "there are no interrupts for" 1
model 1 heal
model 0 fault vectors:refused
complaints 0 1
check "but it is of another function" test "$(times "there are no interrupts for 2 virtqueues and the configuration")" = 1
model 0 heal

mark
model 0 fault vanish:100
check "it vanishes in the middle" within 120 eval "! suspend"
check "the log says so" said "the device is not there any more"
check "the driver is unloaded" unload ifcvf vhost_vdpa
model 0 heal

load ours/virtio_vdpa
checks guest counts --compare /tmp/before --slack-kb 4096
check "all is unloaded" unload virtio_vdpa vdpa
