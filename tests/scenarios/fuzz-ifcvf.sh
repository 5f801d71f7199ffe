# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: ifcvf on functions that are hostile: it is bound, used, unbound, with other faults each time
# debugging: only
# modules: ours/vdpa ours/virtio_vdpa ours/vhost_vdpa ours/ifcvf stock/virtio_net stock/vhost_iotlb
# tools: vdpa guest vhost-client
# files: tests/model.sh tests/vhost-devices.sh
# cpus: 3
# timeout: 600
# model:
# model: card=c5000x-blk,fault=msix:1
# model: pairs=2,mac=52:54:00:12:34:58
# iommu: intel
# append: initcall_blacklist=virtio_pci_driver_init intel_iommu=on

. /files/model.sh
. /files/vhost-devices.sh

# The faults of round N are those of seed + N, as `hostile` on the model's console makes them.
# `make fuzz` puts others here, and adds to the time above.
seed=1
seconds=60

# No round may take longer. A reset that never ends is waited for 5 s, a few times in a round.
longest=60
rounds=0

# try COUNTER COMMAND...: it may fail. Counted is how often it does not, so that rounds that go
# nowhere are no success.
try() {
	local counter=$1
	shift
	"$@" >/tmp/try 2>&1 && eval "$counter=\$(($counter + 1))"
}

there() {
	[ -e "/sys/bus/vdpa/devices/vf$1" ]
}

consumer() {
	echo "vf$1" >"/sys/bus/vdpa/drivers/$2/bind"
}

interface() {
	interface_at "$1" 2>/dev/null | grep .
}

# Frames, or requests, for so many seconds at most: nothing need come back.
frames() {
	local name
	name=$(interface "$1") || return
	ip link set "$name" up && timeout -s KILL "$2" guest frames --if "$name" --count 20 --size 600
}

client() {
	local what="net --count 20"
	[ "$1" != 1 ] || what="states --hardware --rounds 1"
	# shellcheck disable=SC2086 # These are several words.
	timeout -s KILL "$2" vhost-client $what --dev "$(vhost_of "vf$1")"
}

# use NUMBER ROUND: as an interface, or through the character device, with data every other time.
use() {
	local kind=$(($2 / 3 % 4))
	if [ $((kind % 2)) = 0 ]; then
		try shown vdpa dev config show "vf$1"
	else
		try shown vdpa dev vstats show "vf$1" qidx 0
	fi
	if [ "$1" = 0 ] && [ $kind -ge 2 ]; then
		try virtio consumer 0 virtio_vdpa
		[ $kind = 2 ] || try frames frames 0 1
	else
		try vhost consumer "$1" vhost_vdpa
		[ $kind = 0 ] || try clients client "$1" 1
	fi
}

# life NUMBER ROUND: from bind to unbind, as far as the function is good for it. What there is of it
# can always be removed.
life() {
	try binds bind "$1"
	bound "$1" || return 0
	try adds add "$1"
	if there "$1"; then
		use "$1" "$2"
		# Half of the time the device goes with its driver.
		if [ $(($2 % 2)) = 0 ]; then
			vdpa dev del "vf$1" || return
			! there "$1" || { echo "vf$1 is still there" >&2; return 1; }
		fi
	fi
	unbind "$1" || return
	! bound "$1" || { echo "the driver is still bound" >&2; return 1; }
	! there "$1" || { echo "vf$1 is still there" >&2; return 1; }
}

# hostile ROUND: a life with faults. Says nothing unless something is wrong with it.
hostile() {
	local number=$(($1 % 3)) begin status
	begin=$(date +%s)
	model $number hostile $((seed + $1)) >/tmp/faults &&
		life $number "$1" 2>/tmp/life
	status=$?
	model $number heal
	begin=$(($(date +%s) - begin))
	if [ $status != 0 ] || [ $begin -gt $longest ]; then
		fail "seed $((seed + $1)), function $number" \
			"status $status, $begin s$(printf '\n' && cat /tmp/faults /tmp/life)"
	fi
}

# healthy NUMBER: the same function without faults is as good as ever.
healthy() {
	local number=$1
	bind "$number" && add "$number" || return
	if [ "$number" = 0 ]; then
		consumer 0 virtio_vdpa && wait_for 5 interface 0 && frames 0 20 || return
	else
		consumer "$number" vhost_vdpa && client "$number" 20 || return
	fi
	vdpa dev del "vf$number" && unbind "$number"
}

load stock/virtio_net
load stock/vhost_iotlb
load ours/vdpa
echo 0 >/sys/bus/vdpa/drivers_autoprobe
load ours/virtio_vdpa
load ours/vhost_vdpa
load ours/ifcvf
for number in 0 1 2; do
	check "function $number is bound" bound $number
	unbind $number
	check "function $number works" healthy $number
done
guest counts >/tmp/before

binds=0 adds=0 shown=0 virtio=0 vhost=0 frames=0 clients=0
until=$(($(date +%s) + seconds))
while [ "$(date +%s)" -lt $until ]; do
	hostile $rounds
	rounds=$((rounds + 1))
	[ $((rounds % 15)) != 0 ] || healthy $((rounds / 15 % 3)) >/tmp/try 2>&1 ||
		fail "after round $rounds" "$(cat /tmp/try)"
done
note "seed $seed: $rounds rounds, $binds bound, $adds added, $shown answers, $virtio interfaces," \
	"$vhost character devices, $frames and $clients with data"
[ "${failed:?}" != 0 ] || ok "all of $rounds rounds end in time, and leave nothing"
check "they get far" eval "[ $rounds -ge 12 ] && [ $adds -gt $((rounds / 3)) ] &&
	[ $shown -gt 0 ] && [ $virtio -gt 0 ] && [ $vhost -gt 0 ] && [ $((frames + clients)) -gt 0 ]"
for number in 0 1 2; do
	check "function $number works" healthy $number
done
checks guest counts --compare /tmp/before --slack-kb 8192
check "all is unloaded" unload ifcvf vhost_vdpa virtio_vdpa vdpa
for number in 0 1 2; do
	check "function $number: nothing is mapped" \
		wait_for 5 eval "[ \$(counter $number dma-mapped-now) = 0 ]"
done
