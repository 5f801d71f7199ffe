# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# What benchmarks have in common. Included by them with `. /files/results.sh`.

# How many values there are.
measured=0

# result WHO WHAT VALUE UNIT: a line for tools/bench. WHO is c, ours or direct (no vDPA at all).
result() {
	case $3 in
	"" | *[!0-9.]*) fail "measured: $1 | $2" "'$3' is no number" ;;
	*)
		measured=$((measured + 1))
		echo "bench: $1 | $2 | $3 | $4"
		;;
	esac
}

# To be called at the end. What was not measured has failed already, unless nothing was.
all_measured() {
	check "measured" test "$measured" -gt 0
}

# core_of WHO: where that one's bus and transport are from.
core_of() {
	if [ "$1" = ours ]; then
		echo ours
	else
		echo stock
	fi
}

# frame_cost SIZE INFLIGHT OPTION...: instructions per frame; the options say from where to where.
frame_cost() {
	local size=$1 inflight=$2
	shift 2
	guest frames --bench --count 4000 --size "$size" --inflight "$inflight" "$@" | value ns_per_frame
}

# in_slot SLOT: the interface of the virtio device there.
in_slot() {
	ls "/sys/bus/pci/devices/0000:00:0$1.0/"virtio*/net
}

# value KEY: what a program has measured.
value() {
	sed -n "s/.* $1=\([^ ]*\).*/\1/p"
}

# The size of loaded modules in bytes: text and data.
loaded_size() {
	local name total=0
	for name; do
		total=$((total + $(sed -n "s/^$name \([0-9]*\) .*/\1/p" /proc/modules)))
	done
	echo $total
}

# Instructions since the start of the machine. Under icount a nanosecond is an instruction.
now() {
	sed -n 's/^now at \([0-9]*\) nsecs$/\1/p' /proc/timer_list
}

# Memory of the kernel that is in use, in kB: the kinds that devices take.
used_memory() {
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	awk '/^(Slab|KernelStack|Percpu|VmallocUsed|PageTables):/ { sum += $2 } END { print sum }' \
		/proc/meminfo
}
