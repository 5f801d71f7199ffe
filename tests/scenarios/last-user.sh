# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: the memory of a process that ends is not freed, nor unpinned, with locks of the device held
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# tools: vdpa vhost-client
# files: tests/vhost-devices.sh
# cpus: 1
# debugging: no, that kernel has no probes
# timeout: 120

. /files/vhost-devices.sh

trace=/sys/kernel/tracing

# end_at_work: ends a process in the middle of traffic. There is one processor, which the device's thread has only while
# nobody else wants it: so it is often in the middle of something when the process goes.
end_at_work() {
	vhost-client net --dev "$(vhost_of net0)" --count 100000000 --size 4084 --inflight 120 >/dev/null &
	usleep 300000
	kill -9 $! && ! wait $! 2>/dev/null
}

# end_waiting: ends a process while the device waits for memory of it.
end_waiting() {
	rm -f /tmp/absent
	vhost-client absent --until-gone --dev "$(vhost_of blk0)" --timeout 30 >/tmp/absent &
	wait_for 20 grep -q READY /tmp/absent && kill -9 $! && ! wait $! 2>/dev/null
}

# thread_of N: of the Nth device.
thread_of() {
	grep -l "^vDPA sim worker" /proc/[0-9]*/comm | sed 's,/proc/,,; s,/.*,,' | sort -n | sed -n "$1p"
}

# freed_by WHO: whether memory of processes was freed by those, of whose names there are 15 letters.
freed_by() {
	grep -q "^ *$1.*exit_mmap" $trace/trace
}

# unpinned: says, for each time that a process unpins memory, how many mutexes it holds.
unpinned() {
	awk '
		/ lock: / { held[$1, $NF] = 1 }
		/ unlock: / { delete held[$1, $NF] }
		/ unpin: / { number = 0; for (lock in held) if (index(lock, $1 SUBSEP) == 1) number++; print "holds", number }
	' $trace/trace
}

# probe NAME FUNCTION [ARGUMENT]
probe() {
	echo "p:$1 $2 $3" >>$trace/kprobe_events && echo 1 >"$trace/events/kprobes/$1/enable"
}

load ours/vdpa
load ours/vdpa_sim_net use_va=1
load ours/vdpa_sim_blk use_va=1
load ours/vhost_vdpa
check "a device is added" add_net net0
check "another is added" add_blk blk0
for number in 1 2; do
	check "it has a thread, which gives way" renice -n 19 -p "$(thread_of $number)"
done
check "who frees memory can be seen" mount -t tracefs none $trace
check "there is a place to look" eval "echo 'p:freed exit_mmap' >$trace/kprobe_events"
echo 1 >$trace/events/kprobes/freed/enable
for attempt in 1 2 3 4 5 6 7 8 9 10; do
	check "a process ends while the device works for it ($attempt)" end_at_work
done
check "not its thread frees the memory" eval "! freed_by 'vDPA sim worker'"
# The debugging kernel does not have userfaultfd.
if ! debugging; then
	echo >$trace/trace
	check "a process ends while the device waits for its memory" end_waiting
	check "not the device's thread frees it" eval "! freed_by 'vDPA sim worker'"
fi
check "but somebody does" freed_by ".*"
echo 0 >$trace/events/kprobes/freed/enable
echo >$trace/kprobe_events
drive_net net0
drive_blk blk0

unload vdpa_sim_net
load ours/vdpa_sim_net use_va=0
check "a device is added for which memory is pinned" add_net net0
echo >$trace/trace
check "unpinning can be seen" probe unpin unpin_user_page_range_dirty_lock
check "and the locks that are held" eval "probe lock mutex_lock lock=%di && probe unlock mutex_unlock lock=%di"
check "a process uses the device" vhost-client net --dev "$(vhost_of net0)" --count 100
# Who reads what was traced takes locks, too.
echo 0 >$trace/events/enable
check "its memory is unpinned" eval "unpinned | grep holds"
check "nothing is locked then" eval "! unpinned | grep -v 'holds 0'"
echo >$trace/kprobe_events
umount $trace
check "all is unloaded" unload vdpa_sim_net vdpa_sim_blk vdpa_sim vhost_vdpa vdpa
