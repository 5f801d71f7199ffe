# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# Programs of others, which are in a root of their own: who has `others: yes` in its first lines finds it
# there to be mounted. Included with `. /files/others.sh`; needs the modules stock/9p and stock/9pnet_virtio.

# mount_others: to be read in /others, with what this guest has itself where it has it. What comes between two
# scenarios unmounts it.
mount_others() {
	local directory
	load stock/9pnet_virtio && load stock/9p || return
	mkdir -p /others
	mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 others /others || return
	for directory in dev files proc run sys tmp; do
		mount -o rbind /$directory /others/$directory || return
	done
}

# others COMMAND...: runs it there.
others() {
	LC_ALL=C chroot /others "$@"
}

# unload_simulators: and what they have in common, where that is a module.
unload_simulators() {
	local name
	for name in vdpa_sim_net vdpa_sim_blk vdpa_sim; do
		! loaded $name || unload $name || return
	done
}

# package NAME: the version of a package, or of a crate, as a remark.
package() {
	note "$(grep "^$1 " /others/versions)"
}

# version COMMAND...: the first line of what it prints, as a remark.
version() {
	note "$("$@" 2>&1 | head -n 1)"
}
