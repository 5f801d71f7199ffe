# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: what vdpa(8) prints, on our bus and on the stock one, of the C simulators and ours
# debugging: no, the modules in C are what it is about
# modules: ours/vdpa stock/vdpa ours/virtio_vdpa stock/virtio_vdpa
# modules: c/vdpa_sim_net c/vdpa_sim_blk ours/vdpa_sim_net ours/vdpa_sim_blk
# modules: stock/virtio_net stock/virtio_blk
# tools: vdpa guest
# timeout: 150

# Everything that can be shown, with the result, as text and as JSON.
show() {
	local options
	for options in "" -jp; do
		for what in "mgmtdev show" "mgmtdev show vdpasim_net" "mgmtdev show none" \
			"dev show" "dev show a" "dev show b" "dev show c" "dev show none" \
			"dev config show" "dev config show a" "dev config show b" \
			"dev config show c" "dev config show none" \
			"dev vstats show a qidx 0" "dev vstats show a qidx 1" "dev vstats show a qidx 2" \
			"dev vstats show b qidx 0" "dev vstats show c qidx 0" "dev vstats show none qidx 0"; do
			echo "vdpa $options $what"
			# shellcheck disable=SC2086
			vdpa $options $what 2>/dev/null
			echo "status $?"
		done
	done | same_queue_type
	# The words of a refusal differ on purpose, and so does what the program thinks of them.
	guest vdpa dump | grep -v -e '^  text ' -e '^ok ' -e '^not ok ' -e ' passed, ' -e ' DEV_NET_CFG_MAX_VQP len=2 1 '
}

# Statistics of the stock bus lack the number of pairs where it is 1. From that vdpa(8) tells what a virtqueue is for.
same_queue_type() {
	sed 's/queue_type [a-z_]*/queue_type any/; s/"queue_type": "[a-z_]*"/"queue_type": "any"/'
}

# Where programs find the devices, and the parameters that all simulators have.
places() {
	local name
	for name in a b c; do
		readlink -f "/sys/bus/vdpa/devices/$name"
		find "/sys/devices/$name/" -maxdepth 1 | sed 's,/virtio[0-9]*$,/virtio*,' | sort
	done
	(cd /sys/module/vdpa_sim/parameters && stat -c '%a %n' -- * && head batch_mapping use_va)
}

# well_formed CORE: what the family answers, on our bus, is as it should be also where both are the same.
well_formed() {
	[ "$1" != ours ] || checks guest vdpa dump
}

# record CORE SIMULATORS: the same devices each time, on one bus or the other.
record() {
	load "$1/vdpa"
	load "$2/vdpa_sim_net"
	load "$2/vdpa_sim_blk"
	vdpa dev add name a mgmtdev vdpasim_net mac 52:54:00:12:34:56 mtu 1400
	vdpa dev add name b mgmtdev vdpasim_blk
	vdpa dev add name c mgmtdev vdpasim_net mac 52:54:00:12:34:57 \
		device_features 0x300020020
	show >"/tmp/$1-$2.unbound" 2>&1
	well_formed "$1"
	load "$1/virtio_vdpa"
	usleep 500000
	show >"/tmp/$1-$2.bound" 2>&1
	places >"/tmp/$1-$2.places" 2>&1
	well_formed "$1"
	vdpa dev set name a mac 52:54:00:aa:bb:cc
	vdpa dev config show a >"/tmp/$1-$2.changed" 2>&1
	unload virtio_vdpa vdpa_sim_net vdpa_sim_blk vdpa_sim vdpa
}

same() {
	diff "/tmp/stock-$1" "/tmp/ours-$1"
}

# Of features our simulators have more, and of a disk how many virtqueues there can be is said, too.
same_devices() {
	local simulators
	for simulators in c ours; do
		grep -viE 'features|max_supported_vqs|mgmtdev_max_vqs|discard_sec(tor)?_align' "/tmp/ours-$simulators.$1" >"/tmp/$simulators.devices"
	done
	diff /tmp/c.devices /tmp/ours.devices
}

load stock/virtio_net
load stock/virtio_blk
for simulators in c ours; do
	record stock $simulators
	record ours $simulators
	check "$simulators: before a driver is bound" same "$simulators.unbound"
	check "$simulators: with a driver at work" same "$simulators.bound"
	check "$simulators: after a change" same "$simulators.changed"
	check "$simulators: places in sysfs" same "$simulators.places"
	check "$simulators: there is something to compare" \
		eval "grep -q 'rx packets' /tmp/ours-$simulators.bound && grep -q '/sys/devices/a/virtio' /tmp/ours-$simulators.places && grep -q 52:54:00:aa:bb:cc /tmp/ours-$simulators.changed"
done
for state in unbound bound changed places; do
	check "our simulators look as those in C: $state" same_devices $state
done
