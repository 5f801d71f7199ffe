#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
#
# The first program of a guest: prepares, runs the scenarios, ends the machine with their result.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run
mount -t devpts devpts /dev/pts
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t tmpfs shm /dev/shm
mount -t debugfs debug /sys/kernel/debug
ln -s /proc/self/fd /dev/fd
ln -s /proc/mounts /etc/mtab
echo 'root:x:0:0:root:/tmp:/bin/sh' >/etc/passwd
echo 'root:x:0:' >/etc/group
# From here on the console gets all that the kernel says.
echo 8 >/proc/sys/kernel/printk
if [ -e /proc/sys/kernel/hung_task_timeout_secs ]; then
	echo 30 >/proc/sys/kernel/hung_task_timeout_secs
fi
# Interfaces get what the distribution gives them otherwise, CoDel: it throws frames away that have waited for
# long, as they do where the emulator does not get its time. Here each frame is waited for.
if [ -e /proc/sys/net/core/default_qdisc ]; then
	echo pfifo_fast >/proc/sys/net/core/default_qdisc
fi
ip link set lo up

# Each in a process of its own: what it defines is gone when the next one begins.
run_scenarios() {
	failed=0
	next=
	waited
	for scenario in /scenarios/*/*.sh; do
		if [ -n "$next" ]; then
			run /lib/tidy.sh
		fi
		next=yes
		run "$scenario"
	done
	if [ -e /sys/kernel/debug/kmemleak ]; then
		run /lib/leaks.sh
	fi
	echo "end of scenario"
}

run() {
	echo "# scenario $(basename "$1" .sh)"
	sh /lib/scenario.sh "$1"
	failed=$((failed + $?))
	waited
}

# For how many hundredths of a second no processor has had anything to do until now, at most: the least of any.
waited() {
	local word least=
	while read -r word _ _ _ idle iowait _; do
		case $word in
		cpu[0-9]*)
			idle=$((idle + iowait))
			[ -n "$least" ] && [ "$least" -lt $idle ] || least=$idle
			;;
		esac
	done </proc/stat
	echo "# waited $least"
}

stty -F /dev/ttyS1 raw -echo
run_scenarios </dev/null >/dev/ttyS1 2>&1
if [ $failed -gt 100 ]; then
	failed=100
fi

# The port of QEMU's isa-debug-exit. What the kernel still has to say comes first.
sync
usleep 100000
byte=$(printf '\\%03o' "$((16 + failed))")
printf '%b' "$byte" | dd of=/dev/port bs=1 seek=1281 2>/dev/null
poweroff -f
