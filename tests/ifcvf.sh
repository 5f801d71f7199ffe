# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# QEMU's virtio-net-pci as a function that ifcvf drives, with QEMU's user network behind it. Included
# with `. /files/ifcvf.sh`; who includes it has in its first lines
#
#   # qemu: -netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:tests/http-numbers.sh
#   # qemu: -device virtio-net-pci,netdev=n0,disable-legacy=on,iommu_platform=on,romfile=,addr=5

vf=0000:00:05.0
# The checksum of `seq 2500000`.
page=99bc0dcabb671ef25000042165d62b415346bd9f2eb5054f954d066e4a30c7f8

# Has the function look as it should. The kernel's own driver for it is built in.
disguise() {
	echo $vf >/sys/bus/pci/drivers/virtio-pci/unbind
	load ours/bar_shim function=$vf
}

has_driver() {
	[ "$(basename "$(readlink /sys/bus/pci/devices/$vf/driver)")" = "$1" ]
}

# add_vf NAME [ARGUMENT...]
add_vf() {
	local name=$1
	shift
	vdpa dev add name "$name" mgmtdev "pci/$vf" "$@"
}

unbind_vf() {
	echo "$vf" >/sys/bus/pci/drivers/ifcvf/unbind
}

bind_vf() {
	echo "$vf" >/sys/bus/pci/drivers/ifcvf/bind
}

# Puts an end to what disguise has begun.
undisguise() {
	unload bar_shim && echo "$vf" >/sys/bus/pci/drivers_probe
}

# The name that the kernel gave the network interface: the virtio device is below what does DMA.
interface() {
	ls /sys/bus/pci/devices/$vf/virtio*/net
}

# What an interface is told by DHCP.
cat >/tmp/lease <<'END'
#!/bin/busybox sh
[ "$1" = bound ] || exit 0
ip address flush dev "$interface"
ip address add "$ip/$mask" dev "$interface"
ip route add default via "$router"
END
chmod +x /tmp/lease

get_lease() {
	ip link set "$1" up && udhcpc -i "$1" -n -q -t 5 -T 2 -s /tmp/lease
}

# The page that the network behind the function has: see http-numbers.sh.
fetch() {
	wget -q -O - http://10.0.2.100/ | sha256sum >/tmp/fetched
	cat /tmp/fetched
	grep -q "^$page " /tmp/fetched
}

# user_network NAME: from DHCP to a download.
user_network() {
	check "$1: an address is got by DHCP" get_lease "$(interface)"
	check "$1: the gateway answers" ping -c 5 -i 0.1 -W 2 10.0.2.2
	check "$1: what is downloaded has the right checksum" fetch
}

# mixed BUS TRANSPORT DRIVER: with these modules, each of which may be the one in C.
mixed() {
	local module
	load stock/virtio_net
	disguise
	for module; do
		load "$module"
	done
	check "the driver takes the function" has_driver ifcvf
	check "a device is added" add_vf vf0
	user_network vf0
	check "it is deleted" vdpa dev del vf0
	check "another is added" add_vf vf0
	user_network vf0
	check "the driver is unloaded with the device in use" unload ifcvf
	check "all is unloaded" unload bar_shim virtio_vdpa vdpa
}

# interrupts NAME...: those that the function has are named so, and no others are there.
interrupts() {
	grep -o "ifcvf\[$vf\]-.*" /proc/interrupts | sed 's/.*\]-//' | sort >/tmp/interrupts
	for name; do
		echo "$name"
	done | sort | cmp - /tmp/interrupts || {
		cat /tmp/interrupts
		return 1
	}
}

# raised NAME: this interrupt was, at some time.
raised() {
	grep -F "ifcvf[$vf]-$1" /proc/interrupts | awk '{ for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i } END { exit !n }'
}
