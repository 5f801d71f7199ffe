# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# What scenarios do with modelled virtual functions (header lines `model`). Included with
# `. /files/model.sh`.

# The model's console. Without this the terminal would answer itself.
stty -F /dev/ttyS2 raw -echo
exec 9<>/dev/ttyS2

# model NUMBER COMMAND...: prints what the model answers; fails if it refuses. All of the answer is
# read first: who gets it may stop reading.
model() {
	local line
	echo "$*" >&9
	: >/tmp/.model
	while read -r line <&9; do
		case $line in
		ok)
			cat /tmp/.model
			return 0
			;;
		error:*)
			echo "$line" >&2
			return 1
			;;
		*) echo "$line" >>/tmp/.model ;;
		esac
	done
	echo "the model has gone" >&2
	return 1
}

# counter NUMBER NAME: a value of the model's report.
counter() {
	model "$1" report | sed -n "s/^$2 //p"
}

# is_well NUMBER: a device needs no reset, and none of its virtqueues waits for memory.
is_well() {
	[ $(($(counter "$1" status) & 0x40)) = 0 ] && ! model "$1" report | grep '^queue' | grep -q 'waits true'
}

# stream_by_each INTERFACE: traffic from each processor in turn, each of which has a queue pair where
# there are as many. Frames of one keep their order.
stream_by_each() {
	local cpu
	for cpu in $(seq 0 $(($(nproc) - 1))); do
		checks taskset -c "$cpu" guest frames --if "$1" --count 500 --size 1514 --inflight 32
	done
}

# function_of NUMBER: the PCI function of that device.
function_of() {
	printf '0000:00:%02x.0\n' $((8 + $1))
}

# The driver for the functions, as it is called in sysfs: the scenario may say another one.
driver=${driver:-ifcvf}

# bind NUMBER, unbind NUMBER: the driver takes that function, or gives it back. What echo cannot write it
# complains about, which others do not.
bind() {
	local address
	address=$(function_of "$1")
	echo "$address" >"/sys/bus/pci/drivers/$driver/bind"
}

unbind() {
	local address
	address=$(function_of "$1")
	echo "$address" >"/sys/bus/pci/drivers/$driver/unbind"
}

# bound NUMBER: whether the driver has it.
bound() {
	[ -e "/sys/bus/pci/drivers/$driver/$(function_of "$1")" ]
}

# add NUMBER: makes vfNUMBER of it.
add() {
	vdpa dev add name "vf$1" mgmtdev "pci/$(function_of "$1")"
}

# interface_at NUMBER, disk_at NUMBER: what the kernel made of that device. The virtio device is below what
# does DMA, which is the function.
interface_at() {
	ls /sys/bus/pci/devices/"$(function_of "$1")"/virtio*/net
}

disk_at() {
	ls /sys/bus/pci/devices/"$(function_of "$1")"/virtio*/block
}

# busy INTERFACE: traffic that goes on in the background, as $!, until the device is gone, which makes it
# fail. When this returns, much was sent.
busy() {
	local sent=/sys/class/net/$1/statistics/tx_packets before
	before=$(cat "$sent")
	guest frames --if "$1" --count 10000000 --size 1514 --inflight 32 >/dev/null 2>&1 &
	wait_for 10 eval "[ \$(cat $sent) -gt $((before + 100)) ]"
}
