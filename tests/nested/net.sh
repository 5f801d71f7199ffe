# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# In a guest inside a guest: frames that its two devices return.

for interface in eth0 eth1; do
	ip link set $interface up
	guest frames --if $interface --count 10 --size 64 --inflight 1
	guest frames --if $interface --count 200 --size 1514 --inflight 32
done
