# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# Guests inside the guest. Included by scenarios with `. /files/qemu.sh`.

# What /dev has for the vDPA device of that name.
vhost_of() {
	echo "/dev/$(basename /sys/bus/vdpa/devices/"$1"/vhost-vdpa*)"
}

# inner_archive TEST: the file system of an inner guest, which runs the test of that name.
inner_archive() {
	local top=/tmp/inner.$1 applet
	mkdir -p "$top/bin" "$top/dev" "$top/mnt" "$top/proc" "$top/sys" || return
	cp /bin/busybox /usr/bin/guest "$top/bin/" || return
	# Only these: to install all would take as long as to boot.
	for applet in dd ip mke2fs mount sh sha256sum umount; do
		ln -s busybox "$top/bin/$applet" || return
	done
	cp /files/init.sh "$top/init" && chmod 755 "$top/init" || return
	cp "/files/$1.sh" "$top/test.sh" || return
	(cd "$top" && find . | cpio -o -H newc) >"$top.cpio" || return
	rm -rf "$top"
}

# inner_qemu TEST ARGUMENT...: becomes the inner guest, whose console is /tmp/inner.console. Its memory
# is anonymous, which is what QEMU takes when it is not told otherwise.
inner_qemu() {
	local test=$1
	shift
	exec qemu-system-x86_64 -L /files -nodefaults -no-user-config -display none -no-reboot \
		-machine pc,acpi=off,hpet=off,usb=off,smm=off,vmport=off -accel tcg -cpu max -m 128M \
		-device isa-debug-exit,iobase=0x501,iosize=1 -serial file:/tmp/inner.console \
		-kernel /files/vmlinux -initrd "/tmp/inner.$test.cpio" \
		-append "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check" "$@"
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
