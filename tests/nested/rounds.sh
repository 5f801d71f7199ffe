# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# In a guest inside a guest: rounds of frames without end. Each frame must come back once and in order,
# whatever happens to the machine meanwhile.

ip link set eth0 up
round=0
while said=$(guest frames --if eth0 --count 500 --size 1024 --inflight 32); do
	round=$((round + 1))
	echo "round $round is complete"
done
echo "$said"
exit 1
