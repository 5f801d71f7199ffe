# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: deletion of devices that QEMU's guest is using
# debugging: no, an emulator in an emulator takes too long there
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk stock/vhost_iotlb
# modules: stock/kvm_amd stock/virtio_net stock/virtio_blk
# tools: vdpa guest qemu-system-x86_64
# files: tests/traffic.sh tests/nested/qemu.sh tests/nested/init.sh tests/nested/busy.sh
# files: {kernel}/vmlinux /usr/share/seabios/bios-256k.bin
# files: /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/pvh.bin /usr/share/qemu/kvmvapic.bin
# memory: 2G
# timeout: 300

. /files/traffic.sh
. /files/qemu.sh

# within SECONDS COMMAND...: it succeeds, and in that time.
within() {
	local most=$1 begin
	shift
	begin=$(cut -d . -f 1 /proc/uptime)
	"$@" || return
	[ $(($(cut -d . -f 1 /proc/uptime) - begin)) -lt "$most" ]
}

is_busy() {
	grep -q "busy from now on" /tmp/inner.console
}

load stock/vhost_iotlb
inner_kvm
inner_archive busy virtio_net virtio_blk
guest counts >/tmp/before
load ours/vdpa
load ours/vhost_vdpa
load ours/vdpa_sim_net
load ours/vdpa_sim_blk
check "a network device is added" add_net net0
check "a block device is added" add_blk blk0
(inner_qemu busy -netdev "vhost-vdpa,id=n,vhostdev=$(vhost_of net0)" \
	-device virtio-net-pci,netdev=n,mac=52:54:00:12:34:56,romfile= \
	-device "vhost-vdpa-device-pci,vhostdev=$(vhost_of blk0)") >/tmp/qemu.log 2>&1 &
qemu=$!
touch /tmp/inner.console
check "the inner guest is busy with both" slowly 200 is_busy || cat /tmp/inner.console /tmp/qemu.log
# For a while.
sleep 2
check "the network device is deleted, at once" within 5 vdpa dev del net0
check "the block device is deleted, at once" within 5 vdpa dev del blk0
check "none is left" eval "! vdpa dev show | grep -q ."
check "the simulators are unloaded" unload vdpa_sim_net vdpa_sim_blk vdpa_sim
check "QEMU goes on" kill -0 $qemu
kill $qemu
check "and ends when it is told to" slowly 60 has_ended $qemu || { kill -9 $qemu && cat /tmp/qemu.log; }
nothing_left vhost_vdpa vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
