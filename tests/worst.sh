# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# What scenarios with the worst of parents (tests/modules/worst) have in common. Included with `. /files/worst.sh`, after
# vhost-devices.sh.

# load_worst [PARAMETER=VALUE...]: before the drivers that shall have its devices, and not those of the simulators.
load_worst() {
	load ours/vdpa
	load ours/vdpa_worst "$@"
}

# add_worst [ATTRIBUTE VALUE...]: worst0, whose work is done by net0.
add_worst() {
	vdpa dev add name net0 mgmtdev vdpasim_net mac 52:54:11:12:34:56 "$@" && vdpa dev add name worst0 mgmtdev vdpa_worst
}

# trait NAME VALUE: from now on.
trait() {
	echo "$2" >"/sys/module/vdpa_worst/parameters/$1"
}

# seen WHAT: how often.
seen() {
	sed -n "s/^$1 //p" /sys/kernel/debug/vdpa_worst/worst0
}
