# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: DPDK's testpmd on our network simulator: frames go round for half a minute, split and packed
# debugging: no, it polls, which takes an emulator too long there
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net stock/9p stock/9pnet_virtio
# tools: vdpa guest
# files: tests/others.sh tests/vhost-devices.sh
# others: yes
# memory: 2G
# timeout: 300
# check: no, it takes two minutes of a processor

. /files/others.sh
. /files/vhost-devices.sh

mac=52:54:00:12:34:56
# It may be gone when it is told something.
trap "" PIPE
seconds=30

# testpmd OPTIONS: sends 32 frames when it is told to, and then each that comes, so that they go round.
testpmd() {
	mkfifo /tmp/in
	others dpdk-testpmd -l 0,1 --in-memory --no-pci --no-telemetry -m 128 \
		--vdev "net_virtio_user0,path=$(vhost_of net0),mac=$mac,queue_size=256$1" -- \
		--interactive --total-num-mbufs=4096 --eth-peer=0,$mac --nb-cores=1 </tmp/in >/tmp/testpmd 2>&1 &
	testpmd=$!
	exec 8>/tmp/in
	started=$(seconds)
}

# quit: and what its status is.
quit() {
	echo quit >&8
	exec 8>&-
	rm /tmp/in
	wait "$testpmd"
}

# tell COMMAND...: it is done when there is another prompt.
tell() {
	local prompts
	prompts=$(prompts)
	echo "$*" >&8
	wait_for 20 eval "[ \$(prompts) -gt $prompts ]"
}

prompts() {
	grep -o 'testpmd> ' /tmp/testpmd | wc -l
}

# received: how many frames testpmd did, and delivered: how many the device did.
received() {
	sed -n 's/.*RX-packets: \([0-9]*\) .*/\1/p' /tmp/testpmd | head -n 1
}

delivered() {
	vdpa -j dev vstats show net0 qidx 0 | sed -n 's/.*"rx packets":\([0-9]*\),.*/\1/p'
}

check "programs of others can be read" mount_others
package dpdk-dev
echo 128 >/proc/sys/vm/nr_hugepages
load ours/vdpa
load ours/vhost_vdpa
guest counts >/tmp/before
load ours/vdpa_sim_net
for ring in split packed; do
	options=
	[ $ring = split ] || options=,packed_vq=1
	check "$ring: a network device is added" add_net net0 $mac
	testpmd "$options"
	check "$ring: testpmd starts" wait_for 90 eval "[ \$(prompts) -gt 0 ]" || { cat /tmp/testpmd; exit; }
	note "$ring: after $(($(seconds) - started)) s"
	check "$ring: it sends the first frames" tell start tx_first
	sleep $seconds
	check "$ring: the device has what it needs" eval "vdpa dev config show net0 | grep -q 'negotiated_features .*VERSION_1'"
	before_stop=$(delivered)
	check "$ring: it says how many it received" tell show port stats 0
	check "$ring: it stops" tell stop
	check "$ring: it ends well" quit
	# What it prints is complete only now.
	note "$ring: $(received) frames received, $before_stop delivered"
	check "$ring: frames went round" eval "[ $(received) -gt 5000 ] && [ $before_stop -gt 5000 ]" || cat /tmp/testpmd
	for error in RX-missed RX-errors RX-nombuf TX-errors; do
		check "$ring: $error is 0" eval "grep -q '$error: *0' /tmp/testpmd && ! grep -q '$error: *[1-9]' /tmp/testpmd"
	done
	check "$ring: the device is deleted" vdpa dev del net0
done
echo 0 >/proc/sys/vm/nr_hugepages
check "the simulator is unloaded" unload_simulators
checks guest counts --compare /tmp/before --slack-kb 8192
