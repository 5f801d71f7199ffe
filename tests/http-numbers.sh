#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What QEMU's user network runs for a connection (guestfwd=...-cmd:): the simplest web server. It has
# one page, the numbers up to 2,500,000.

read -r _request
printf 'HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 18888896\r\n\r\n'
seq 2500000
# What is still on its way when this ends would be lost; the other side closes when it has all.
cat >/dev/null
