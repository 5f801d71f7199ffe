# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: live migration of QEMU's guest from one of our devices to another and back; no frame is lost
# debugging: no, an emulator in an emulator takes too long there
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk stock/vhost_iotlb stock/kvm_amd stock/virtio_net
# tools: vdpa guest qemu-system-x86_64
# files: tests/traffic.sh tests/nested/qemu.sh tests/nested/init.sh tests/nested/rounds.sh
# files: {kernel}/vmlinux /usr/share/seabios/bios-256k.bin
# files: /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/pvh.bin /usr/share/qemu/kvmvapic.bin
# memory: 2G
# timeout: 300

. /files/traffic.sh
. /files/qemu.sh

# The guest's own address, of which only the first device was told when it was made.
MAC=52:54:00:12:34:56

# machine NAME DEVICE,OPTIONS ARGUMENT...: a virtual machine, which does what is written to its monitor,
# /tmp/NAME.in. Its process is in $NAME.
machine() {
	local inner=$1 device=${2%%,*} options=${2#"${2%%,*}"}
	shift 2
	mkfifo "/tmp/$inner.in" "/tmp/$inner.out" || return
	touch "/tmp/$inner.console"
	cat "/tmp/$inner.out" >"/tmp/$inner.answers" &
	(inner_qemu rounds -qmp "pipe:/tmp/$inner" -D "/tmp/$inner.trace" -trace "vhost_vdpa_s*" -trace "vhost_vdpa_net*" \
		-netdev "vhost-vdpa,id=n,vhostdev=$(vhost_of "$device")$options" \
		-device virtio-net-pci,netdev=n,mac=$MAC,romfile= "$@") >"/tmp/$inner.log" 2>&1 &
	eval "$inner=$!"
	tell "$inner" qmp_capabilities
}

# tell NAME COMMAND [ARGUMENTS]: to the monitor.
tell() {
	echo "{ \"execute\": \"$2\", \"arguments\": { ${3:-} } }" >"/tmp/$1.in"
}

answered() {
	grep -q "$2" "/tmp/$1.answers"
}

has_migrated() {
	tell "$1" query-migrate
	answered "$1" '"status": "completed"'
}

# traced NAME TEXT: its QEMU noted something of which this is a part.
traced() {
	grep -q "$2" "/tmp/$1.trace"
}

# All rounds were complete and in order. A line that one virtual machine began to print another may have
# ended; only the last may be cut off.
in_order() {
	cat /tmp/here.console /tmp/there.console /tmp/back.console | tr -d '\r' | awk '
		cut { cut = 2; exit }
		$0 != "round " NR " is complete" { cut = index("round " NR " is complete", $0) == 1 ? 1 : 2 }
		cut == 2 { print; exit }
		END { exit NR < 9 || cut == 2 }'
}

# rounds NAME NUMBER: so many were complete there.
rounds() {
	[ "$(grep -c "is complete" "/tmp/$1.console")" -ge "$2" ]
}

# migrate FROM TO: and the guest goes on where it was. Most likely this happens within a round.
migrate() {
	local from=$1 to=$2
	check "$to: it is ready" slowly 60 test -S /tmp/stream || { cat "/tmp/$to.log"; exit; }
	tell "$from" migrate '"uri": "unix:/tmp/stream"'
	check "$from, $to: the migration is complete" slowly 60 has_migrated "$from" || { tail "/tmp/$from.answers"; exit; }
	rm -f /tmp/stream
	check "$to: the guest goes on" slowly 60 rounds "$to" 3 || cat "/tmp/$to.console"
	note "it stood still for $(sed -n 's/.*"downtime": \([0-9]*\).*/\1/p' "/tmp/$from.answers" | tail -n 1) ms"
	check "$from: its device was suspended" traced "$from" vhost_vdpa_suspend
	check "$to: it got the MAC address from the control queue" traced "$to" "load_cmd .* class: 1 cmd: 1 "
	tell "$from" quit
	eval "check '$from ends' slowly 30 has_ended \$$from"
	check "$from had no complaint" test ! -s "/tmp/$from.log" || cat "/tmp/$from.log"
}

load stock/vhost_iotlb
inner_kvm
inner_archive rounds virtio_net
guest counts >/tmp/before
load ours/vdpa
load ours/vhost_vdpa
load ours/vdpa_sim_net
load ours/vdpa_sim_blk
check "a network device is added" add_net net0 $MAC
check "and one with another MAC address" add_net net1 52:54:00:12:34:57
check "and a block device" add_blk blk0

machine here net0
check "the guest exchanges frames" slowly 100 rounds here 3 || cat /tmp/here.console /tmp/here.log
check "it has virtqueues of its own" traced here "set_dev_vring_base .* index: 1 num: 0 svq: 0"
machine there net1 -incoming unix:/tmp/stream
migrate here there
check "there: the virtqueues went on where they were" traced there "set_dev_vring_base .* index: 1 num: [1-9]"
check "here: before, QEMU took over the virtqueues" traced here "set_dev_vring_base .* index: 1 num: [0-9]* svq: 1"

# To the first device, where QEMU keeps the virtqueues.
machine back net0,x-svq=on -incoming unix:/tmp/stream
migrate there back
check "back: QEMU has the virtqueues" traced back "set_dev_vring_base .* index: 1 num: [0-9]* svq: 1"

# What QEMU cannot: its device for all kinds of vDPA devices.
machine other net1 -S -device "vhost-vdpa-device-pci,vhostdev=$(vhost_of blk0)"
tell other migrate '"uri": "unix:/tmp/nowhere"'
check "a vhost-vdpa-device is refused by QEMU" slowly 30 answered other "non-migratable device '0000:00:.*/vhost-vdpa-device'"
tell other quit
tell back quit
# shellcheck disable=SC2154 # Set by machine.
check "the virtual machines end" slowly 30 eval "has_ended $other && has_ended $back"
check "no frame was lost, none came again, and none was mixed up" in_order
nothing_left vdpa_sim_net vdpa_sim_blk vdpa_sim vhost_vdpa vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
