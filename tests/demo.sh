# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: what the modules do, as a story
# modules: ours/vdpa ours/virtio_vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# modules: ours/ifcvf ours/bar_shim stock/virtio_net stock/virtio_blk stock/ext4 stock/vhost_iotlb stock/irqbypass stock/kvm_amd
# tools: vdpa mkfs.ext2 guest qemu-system-x86_64
# files: tests/traffic.sh tests/ifcvf.sh tests/nested/qemu.sh tests/nested/init.sh tests/nested/demo.sh
# files: {kernel}/vmlinux /usr/share/seabios/bios-256k.bin
# files: /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/pvh.bin /usr/share/qemu/kvmvapic.bin
# timeout: 180
# qemu: -netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:tests/http-numbers.sh
# qemu: -device virtio-net-pci,netdev=n0,disable-legacy=on,iommu_platform=on,romfile=,addr=5

. /files/ifcvf.sh
. /files/traffic.sh
. /files/qemu.sh

# The seconds since the guest was started.
now() {
	cut -d ' ' -f 1 /proc/uptime
}

# chapter "text": what comes now, and when.
chapter() {
	printf '\n[%5s s] %s\n' "$(now)" "$*"
}

# run COMMAND...: shows the command and what it prints. The story ends where one fails.
run() {
	echo "  # $*"
	show "$*" eval "$*"
}

# show "what" COMMAND...: shows only what it prints.
show() {
	local what=$1 status
	shift
	"$@" >/tmp/.out 2>&1
	status=$?
	sed 's/^/  /' /tmp/.out
	[ $status = 0 ] || { fail "$what" "status $status"; exit; }
}

# done_right "what" COMMAND...: does it, and says only that it is so.
done_right() {
	local what=$1
	shift
	"$@" >/tmp/.out 2>&1 || { fail "$what" "$(cat /tmp/.out)"; exit; }
	echo "  $what"
}

# Each takes a while, so they are done side by side.
load stock/ext4 &
inner_archive demo virtio_net virtio_blk ext4 &
inner_kvm &
load stock/vhost_iotlb
load stock/virtio_net
load stock/virtio_blk
wait
loaded irqbypass || load stock/irqbypass
# The kernel's own driver for it is built in.
# shellcheck disable=SC2154
echo "$vf" >/sys/bus/pci/drivers/virtio-pci/unbind
guest counts >/tmp/before

chapter "Kernel $(uname -r) as Debian built it. The modules are loaded."
for module in vdpa virtio_vdpa vdpa_sim_net vdpa_sim_blk; do
	load ours/$module
done
run "lsmod | grep vdpa"

chapter "The simulators offer to make devices. One of each is made."
run vdpa mgmtdev show
run vdpa dev add name net0 mgmtdev vdpasim_net mac 52:54:00:12:34:56
run vdpa dev add name blk0 mgmtdev vdpasim_blk
run vdpa dev show

interface=$(interface_of net0)
disk=/dev/$(disk_of blk0)
chapter "The kernel's own drivers have taken them: $interface and $disk."
run ip link set "$interface" up
run vdpa dev config show

chapter "1000 frames of 1514 bytes go out and come back."
run guest frames --if "$interface" --count 1000 --size 1514 --inflight 32
run vdpa dev vstats show net0 qidx 0
run vdpa dev vstats show net0 qidx 1

chapter "A file system on the disk is filled, unmounted, mounted and compared."
run mkfs.ext2 -q "$disk"
mkdir -p /mnt
run mount -t ext4 "$disk" /mnt
done_right "10 MiB are written and their checksums noted." fill_disk /mnt 4
run df -h /mnt
run umount /mnt
echo 3 >/proc/sys/vm/drop_caches
run mount -t ext4 "$disk" /mnt
done_right "All checksums match." same_sums /mnt
run umount /mnt

chapter "A function of a card is made a device, too: QEMU's, which here looks like an Intel N3000."
load ours/bar_shim function="$vf"
load ours/ifcvf
run vdpa mgmtdev show "pci/$vf"
run vdpa dev add name vf0 mgmtdev "pci/$vf"
interface=$(interface)
done_right "$interface gets an address by DHCP." get_lease "$interface"
done_right "19 MB come from a web server, with the right checksum." fetch
run vdpa dev del vf0
run rmmod ifcvf
done_right "The card is itself again." unload bar_shim

chapter "The devices change hands: they are for virtual machines now."
run rmmod virtio_vdpa
load ours/vhost_vdpa
net=$(vhost_of net0)
blk=$(vhost_of blk0)
run ls -l "$net" "$blk"

chapter "QEMU boots one with them. It sends frames, and finds the files on the disk."
set -- -netdev "vhost-vdpa,id=n,vhostdev=$net" -device virtio-net-pci,netdev=n,mac=52:54:00:12:34:56,romfile= \
	-device "vhost-vdpa-device-pci,vhostdev=$blk"
printf '  # qemu-system-x86_64 ... \\\n      %s %s %s %s \\\n      %s %s\n' "$@"
show "the virtual machine ends well" inner demo "$@"

chapter "The devices and the modules go."
run vdpa dev del net0
run vdpa dev del blk0
for module in vdpa_sim_net vdpa_sim_blk vdpa_sim vhost_vdpa vdpa; do
	run rmmod $module
done
done_right "No device, thread or reference is left." guest counts --compare /tmp/before --slack-kb 16384
ok "$(now) seconds, start to end"
