# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# In a guest inside a guest: frames and writes without end.

ip link set eth0 up
guest frames --if eth0 --count 10 --size 64
dd if=/dev/zero of=/dev/vda bs=65536 count=10 2>/dev/null
echo "busy from now on"
while :; do
	dd if=/dev/zero of=/dev/vda bs=65536 count=100 2>/dev/null
done &
guest frames --if eth0 --count 1000000000 --size 1514 --inflight 32
