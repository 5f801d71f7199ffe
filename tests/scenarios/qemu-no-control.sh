# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: QEMU without a control queue, when it enables virtqueues before it says where they are
# debugging: no, an emulator in an emulator takes too long there
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net stock/vhost_iotlb stock/kvm_amd stock/virtio_net
# tools: vdpa guest qemu-system-x86_64
# files: tests/traffic.sh tests/nested/qemu.sh tests/nested/init.sh tests/nested/frames.sh
# files: {kernel}/vmlinux /usr/share/seabios/bios-256k.bin
# files: /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/pvh.bin /usr/share/qemu/kvmvapic.bin
# memory: 2G
# timeout: 300

. /files/traffic.sh
. /files/qemu.sh

load stock/vhost_iotlb
inner_kvm
inner_archive frames virtio_net
guest counts >/tmp/before
load ours/vdpa
load ours/vhost_vdpa
load ours/vdpa_sim_net
check "a network device is added" add_net net0
checks inner frames -D /tmp/trace -trace "vhost_vdpa_set_vring_*" \
	-netdev "vhost-vdpa,id=n,vhostdev=$(vhost_of net0)" \
	-device "virtio-net-pci,netdev=n,mac=52:54:00:12:34:56,romfile=,ctrl_vq=off,ctrl_mac_addr=off,ctrl_rx=off,ctrl_vlan=off,ctrl_guest_offloads=off"
first=$(grep -m 1 -o -E "vring_(enable_one|addr) .*enable: 1|vring_addr" /tmp/trace)
check "it was enabled first" eval "echo '$first' | grep -q enable"
check "the device is deleted" vdpa dev del net0
nothing_left vdpa_sim_net vdpa_sim vhost_vdpa vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
