# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# In a guest inside a guest: an address is got by DHCP, and a file is fetched whose checksum is known
# (tests/http-numbers.sh).

sum=99bc0dcabb671ef25000042165d62b415346bd9f2eb5054f954d066e4a30c7f8

cat >/lease <<'END'
#!/bin/busybox sh
[ "$1" != bound ] || busybox ip address add "$ip/$mask" dev "$interface"
END
busybox chmod 755 /lease
ip link set eth0 up
busybox udhcpc -i eth0 -n -q -t 5 -T 2 -s /lease
echo "ok inner: an address is got by DHCP"
busybox wget -q -O - http://10.0.2.100/ | sha256sum >/fetched
busybox cat /fetched
busybox grep -q "^$sum " /fetched
echo "ok inner: what is fetched has the right checksum"
