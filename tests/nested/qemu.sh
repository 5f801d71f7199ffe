# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# Guests inside the guest. Included by scenarios with `. /files/qemu.sh`.

# What /dev has for the vDPA device of that name.
vhost_of() {
	echo "/dev/$(basename /sys/bus/vdpa/devices/"$1"/vhost-vdpa*)"
}

# inner_archive TEST MODULE...: the file system of an inner guest, which loads these modules of the stock kernel
# and what they need, and runs the test of that name.
inner_archive() {
	local test=$1 top=/tmp/inner.$1 applet module need
	shift
	mkdir -p "$top/bin" "$top/dev" "$top/mnt" "$top/modules" "$top/proc" "$top/sys" || return
	for module; do
		while read -r need; do
			inner_module "$top/modules" "$need" || return
		done <"/modules/stock/$module.needs"
		inner_module "$top/modules" "stock/$module" || return
	done
	cp /bin/busybox /usr/bin/guest "$top/bin/" || return
	# Only these: to install all would take as long as to boot.
	for applet in dd head insmod ip mke2fs mount sh sha256sum stty umount; do
		ln -s busybox "$top/bin/$applet" || return
	done
	cp /files/init.sh "$top/init" && chmod 755 "$top/init" || return
	cp "/files/$test.sh" "$top/test.sh" || return
	(cd "$top" && find . | cpio -o -H newc) >"$top.cpio" || return
	rm -rf "$top"
}

# inner_module DIRECTORY MODULE: puts it there, after those that are there already.
inner_module() {
	local directory=$1 module=$2 name=${2#*/}
	set -- "$directory"/*-"$name".ko
	[ ! -e "$1" ] || return 0
	set -- "$directory"/*.ko
	[ -e "$1" ] || shift
	cp "/modules/$module.ko" "$directory/$(printf %02d $#)-$name.ko"
}

# inner_kvm: has KVM run the inner guests from here on, if the processors that this guest sees can do
# that. Emulated ones can. It takes a tenth of the time, and interrupts go from eventfd to guest in the
# kernel. Without it QEMU emulates the inner guest inside the emulation of this one.
inner_kvm() {
	! grep -qw svm /proc/cpuinfo || load stock/kvm_amd
}

# How inner guests are run. The SVM of an emulated processor has a flaw: after an exception in the inner
# guest KVM takes an access to a device's memory for one in the middle of an exception's delivery, and
# gives up. So drivers notify devices by ports there, and read the state of the link only once.
inner_accel() {
	if [ -c /dev/kvm ]; then
		echo -accel kvm -global virtio-pci.modern-pio-notify=on -global virtio-net-device.status=off
	else
		echo -accel tcg
	fi
}

# inner_qemu TEST ARGUMENT...: becomes the inner guest, whose console is /tmp/inner.console, or
# /tmp/$inner.console. Its memory is anonymous, which is what QEMU takes when it is not told otherwise.
inner=inner
inner_qemu() {
	local test=$1
	shift
	# shellcheck disable=SC2046 # These are several words.
	exec qemu-system-x86_64 -L /files -nodefaults -no-user-config -display none -no-reboot \
		-machine pc,acpi=off,hpet=off,usb=off,smm=off,vmport=off $(inner_accel) -cpu max -m 128M \
		-device isa-debug-exit,iobase=0x501,iosize=1 -serial "file:/tmp/$inner.console" \
		-kernel /files/vmlinux -initrd "/tmp/inner.$test.cpio" \
		-append "console=ttyS0 loglevel=2 panic=-1 tsc=reliable no_timer_check" "$@"
}

# inner TEST ARGUMENT...: runs an inner guest until it ends, and shows what it printed.
inner() {
	local status
	(inner_qemu "$@") 2>&1
	status=$?
	tr -d '\r' </tmp/inner.console
	# As init.sh ends it when the test was passed.
	[ $status = 33 ] || { echo "QEMU ended with status $status"; return 1; }
}

# has_ended PID: whether the QEMU of an inner guest has.
has_ended() {
	! kill -0 "$1"
}

# slowly SECONDS COMMAND...: until it succeeds. To ask more often would take time from QEMU.
slowly() {
	local left=$1
	shift
	until "$@"; do
		[ "$left" -gt 0 ] || return 1
		left=$((left - 1))
		sleep 1
	done
}
