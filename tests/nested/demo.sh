# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# In a guest inside a guest: the last chapter of the demonstration.

ip link set eth0 up
guest frames --if eth0 --count 500 --size 1514 --inflight 32
mount -t ext2 /dev/vda /mnt
(cd /mnt && sha256sum -c SUMS)
umount /mnt
