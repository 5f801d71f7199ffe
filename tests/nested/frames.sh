# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# In a guest inside a guest: frames that its one device returns.

ip link set eth0 up
guest frames --if eth0 --count 10 --size 64 --inflight 1
guest frames --if eth0 --count 200 --size 1514 --inflight 32
