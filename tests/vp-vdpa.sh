# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# Devices of QEMU's as functions that vp_vdpa drives. Included with `. /files/vp-vdpa.sh`.

# Of who includes this, too.
export pci=/sys/bus/pci

# function SLOT: the name of the function that QEMU was told to put there.
function_at() {
	echo "0000:00:0$1.0"
}

# unbind SLOT: from its driver, whichever it is.
unbind() {
	function_at "$1" >"$pci/devices/$(function_at "$1")/driver/unbind"
}

# give SLOT...: from the kernel's own driver, which is built in, to vp_vdpa.
give() {
	local function
	for slot; do
		function=$(function_at "$slot")
		if [ -e "$pci/devices/$function/driver" ]; then
			unbind "$slot" || return
		fi
		echo vp-vdpa >"$pci/devices/$function/driver_override" || return
		function_at "$slot" >"$pci/drivers_probe" || return
	done
}

# give_back SLOT: a function that has no driver to the one that it would have had.
give_back() {
	echo >"$pci/devices/$(function_at "$1")/driver_override" && function_at "$1" >"$pci/drivers_probe"
}

# driver_of SLOT
driver_of() {
	basename "$(readlink "$pci/devices/$(function_at "$1")/driver")"
}

# add NAME SLOT [ARGUMENT...]
add() {
	local name=$1 slot=$2
	shift 2
	vdpa dev add name "$name" mgmtdev "pci/$(function_at "$slot")" "$@"
}

# below SLOT KIND: the name of what the kernel's driver made of the device, such as net or block.
below() {
	ls "$pci/devices/$(function_at "$1")"/virtio*/"$2"
}
