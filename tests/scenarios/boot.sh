# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: the stock kernel boots, its bus loads and is seen by iproute2
# debugging: no, it is about the distribution's kernel
# modules: stock/vdpa
# tools: vdpa

check "the kernel is the distribution's" grep -q deb13 /proc/version
load stock/vdpa
check "the bus is there" test -d /sys/bus/vdpa
check "iproute2 talks to it" vdpa mgmtdev show
unload vdpa
check "the bus is gone" test ! -d /sys/bus/vdpa
