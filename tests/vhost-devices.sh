# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# What scenarios with character devices have in common. Included with `. /files/vhost-devices.sh`.

# The character device of a vDPA device.
vhost_of() {
	local path
	for path in "/sys/bus/vdpa/devices/$1"/vhost-vdpa-*; do
		echo "/dev/${path##*/}"
	done
}

# add_net NAME [MAC], add_blk NAME: devices of the simulators. The C simulator compares MAC addresses
# up to the first byte that is 0.
add_net() {
	vdpa dev add name "$1" mgmtdev vdpasim_net mac "${2:-52:54:11:12:34:56}" || return
	[ -c "$(vhost_of "$1")" ]
}

add_blk() {
	vdpa dev add name "$1" mgmtdev vdpasim_blk || return
	[ -c "$(vhost_of "$1")" ]
}

# Frames and requests, with the options given, and all that has to do with stopping and going on.
drive_net() {
	local device
	device=$(vhost_of "$1")
	shift
	checks vhost-client net --dev "$device" --count 300 --size 64 --inflight 1 "$@"
	checks vhost-client net --dev "$device" --count 1000 --size 1514 --inflight 32 "$@"
	checks vhost-client net --dev "$device" --count 300 --size 4084 --inflight 120 "$@"
}

drive_blk() {
	local device
	device=$(vhost_of "$1")
	shift
	checks vhost-client blk --dev "$device" --count 200 "$@"
}

# drive_files BATCH: a disk that reads and writes the memory of a process through the files it is of, told of
# whole address spaces or of single mappings. Each session ends with a reset, after which mappings are gone:
# these sessions do not say that they could stay.
drive_files() {
	load ours/vdpa_bounce batch="$1"
	check "a disk that takes files is added (batch=$1)" vdpa dev add name files0 mgmtdev vdpa_bounce
	dmesg -c >/dev/null
	drive_blk files0 --basic --memfd
	drive_blk files0 --basic --memfd --seed 2
	check "it was reset with its mappings" eval "dmesg | grep -q 'vdpa_bounce: the mappings are forgotten'"
	check "it goes with its module" unload vdpa_bounce
}

# Whether a vDPA device is of a PCI function, which has doorbells.
is_of_function() {
	[ -e "/sys/bus/vdpa/devices/$1/../vendor" ]
}

# How long a process keeps a device that is not taken away, in seconds; how long others may wait.
keeping=20
waiting=5
if debugging; then
	keeping=60
	waiting=25
fi

# in_time COMMAND...: it does not wait for the process.
in_time() {
	timeout $waiting "$@"
}

# client STATUS: what the process has said that ended so.
client() {
	cat /tmp/gone
	return "$1"
}

# gone NAME USE COMMAND...: the command takes the device away from a process that uses it so (opened, owned,
# running), or that waits for memory in a call (waiting), or whose device does (absent).
gone() {
	local device=$1 use=$2 how
	shift 2
	rm -f /tmp/gone
	how="gone --use $use --anon"
	if [ "$use" = waiting ]; then
		how=slow
	elif [ "$use" = absent ]; then
		how="absent --until-gone"
	elif [ "$use" = running ] && is_of_function "$device"; then
		how="$how --doorbells"
	fi
	# shellcheck disable=SC2086 # These are words.
	vhost-client $how --dev "$(vhost_of "$device")" --timeout $keeping >/tmp/gone &
	check "$device is in use ($use)" wait_for $keeping grep -q READY /tmp/gone
	check "it is taken away: $*" in_time "$@"
	check "others are not kept waiting" in_time vdpa dev show
	wait $!
	checks client $?
}
