# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: what the modules do, as a story
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk
# modules: stock/virtio_net stock/virtio_blk stock/ext4 stock/vhost_iotlb
# tools: vdpa mkfs.ext4 guest
# files: tests/traffic.sh
# timeout: 120

. /files/traffic.sh

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
	"$@" >/tmp/.out 2>&1
	status=$?
	sed 's/^/  /' /tmp/.out
	[ $status = 0 ] || { fail "$*" "status $status"; exit; }
}

# done_right "what" COMMAND...: does it, and says only that it is so.
done_right() {
	local what=$1
	shift
	"$@" >/tmp/.out 2>&1 || { fail "$what" "$(cat /tmp/.out)"; exit; }
	echo "  $what"
}

load stock/vhost_iotlb
load stock/virtio_net
load stock/virtio_blk
load stock/ext4
guest counts >/tmp/before

chapter "Kernel $(uname -r) as Debian built it. The modules are loaded."
for module in vdpa virtio_vdpa vdpa_sim_net vdpa_sim_blk; do
	load ours/$module
done
run lsmod

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

chapter "2000 frames of 1514 bytes go out and come back."
run guest frames --if "$interface" --count 2000 --size 1514 --inflight 32
run vdpa dev vstats show net0 qidx 0
run vdpa dev vstats show net0 qidx 1

chapter "A file system on the disk is filled, unmounted, mounted and compared."
run mkfs.ext4 -q "$disk"
mkdir -p /mnt
run mount -t ext4 "$disk" /mnt
done_right "36 MiB are written and their checksums noted." fill_disk /mnt
run df -h /mnt
run umount /mnt
echo 3 >/proc/sys/vm/drop_caches
run mount -t ext4 "$disk" /mnt
done_right "All checksums match." same_sums /mnt
run umount /mnt

chapter "The devices and the modules go."
run vdpa dev del net0
run vdpa dev del blk0
for module in vdpa_sim_net vdpa_sim_blk virtio_vdpa vdpa; do
	run rmmod $module
done
done_right "No device, thread or reference is left." guest counts --compare /tmp/before --slack-kb 16384
ok "$(now) seconds, start to end"
