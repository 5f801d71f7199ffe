# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: QEMU on our network simulator: its guest's frames come back, also by shadow virtqueues
# debugging: no, an emulator in an emulator takes too long there
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net stock/vhost_iotlb stock/kvm_amd stock/virtio_net
# tools: vdpa guest qemu-system-x86_64
# files: tests/traffic.sh tests/nested/qemu.sh tests/nested/init.sh tests/nested/net.sh
# files: {kernel}/vmlinux /usr/share/seabios/bios-256k.bin
# files: /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/pvh.bin /usr/share/qemu/kvmvapic.bin
# memory: 2G
# timeout: 300

. /files/traffic.sh
. /files/qemu.sh

# traced TEXT: QEMU noted something of which this is a part.
traced() {
	grep -q "$1" /tmp/trace
}

load stock/vhost_iotlb
inner_kvm
inner_archive net virtio_net
guest counts >/tmp/before
load ours/vdpa
load ours/vhost_vdpa
load ours/vdpa_sim_net
check "a network device is added" add_net net0 52:54:00:12:34:56
check "and one for shadow virtqueues" add_net net1 52:54:00:12:34:57
checks inner net -D /tmp/trace -trace "vhost_vdpa_set_*" -trace "vhost_vdpa_net_load_cmd" \
	-netdev "vhost-vdpa,id=n0,vhostdev=$(vhost_of net0)" \
	-device virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56,romfile= \
	-netdev "vhost-vdpa,id=n1,vhostdev=$(vhost_of net1),x-svq=on" \
	-device virtio-net-pci,netdev=n1,mac=52:54:00:12:34:57,romfile=
check "the control queue got an address space of its own" traced "set_address_space_id .*asid: 1"
check "by which QEMU set the MAC address" traced "load_cmd .*class: 1 cmd: 1 "
check "the virtqueues of the first device are the guest's" traced "set_dev_vring_base .*index: 1 .*svq: 0"
check "those of the second are QEMU's" traced "set_dev_vring_base .*index: 1 .*svq: 1"
check "the first device is deleted" vdpa dev del net0
check "the second, too" vdpa dev del net1
nothing_left vdpa_sim_net vdpa_sim vhost_vdpa vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
