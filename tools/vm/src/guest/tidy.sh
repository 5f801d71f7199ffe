# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# What comes between two scenarios of a boot: the second finds the guest as if it had just been booted, without
# modules, and with nothing in the log.

if grep -q ' /others ' /proc/mounts; then
	umount -l /others
fi
progress=yes
while [ -n "$progress" ]; do
	progress=
	while read -r name _ users _; do
		if [ "$users" = 0 ] && rmmod "$name"; then
			progress=yes
		fi
	done </proc/modules
done
if [ -s /proc/modules ]; then
	fail "all modules can be unloaded" "$(cat /proc/modules)"
else
	ok "all modules can be unloaded"
fi
dmesg -c >/dev/null
