# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: the steps of the tutorial, and the driver in a repository of its own that they lead to
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_rng stock/vhost_iotlb
# modules: ours/tutorial/echo_step1 ours/tutorial/echo_step2 ours/tutorial/echo_step3
# modules: ours/tutorial/echo_step4 ours/tutorial/echo_step5 ours/template/vdpa_echo
# tools: vdpa guest vhost-client
# files: tests/vhost-devices.sh
# timeout: 120
# debugging: no, what is built elsewhere is built for the stock kernel

. /files/vhost-devices.sh

# begin MODULE: loads it, and has it make a device.
begin() {
	module=${1##*/}
	load "$1"
	check "$module: a device is made" vdpa dev add name echo0 mgmtdev "$module"
	device=$(vhost_of echo0)
}

# ask OPTION...: makes a request; what the program says is left in /tmp/raw.
ask() {
	vhost-client raw --dev "$device" --queue 0 "$@" >/tmp/raw || {
		cat /tmp/raw
		return 1
	}
}

# says TEXT: what is a line of that.
says() {
	grep -qxF "# $1" /tmp/raw || {
		cat /tmp/raw
		return 1
	}
}

says_twice() {
	says "$1" && [ "$(grep -cxF "# $1" /tmp/raw)" = 2 ]
}

load ours/vdpa
load ours/vhost_vdpa
guest counts >/tmp/before

begin ours/tutorial/echo_step1
vhost-client raw --dev "$device" >/tmp/raw
check "it says what it is" says "device id: 21"
check "it has one virtqueue" says "virtqueue 0: size 256, group 0"
check "it goes with its module" unload echo_step1

begin ours/tutorial/echo_step2
check "a request is answered" ask --out 01020304 --in 8
check "with its own bytes" says "written: 4 bytes: 01 02 03 04"
check "one with less room, too" ask --out 01020304 --in 3
check "as far as there is room" says "written: 3 bytes: 01 02 03"
check "it goes with its module" unload echo_step2

begin ours/tutorial/echo_step3
vhost-client config --dev "$device" >/tmp/raw
check "it has a configuration" says "config 0x0000: 00 10"
vhost-client config --dev "$device" --offset 1 --len 1 >/tmp/raw
check "of which a part can be read" says "config 0x0001: 10"
check "the driver sets a limit" ask --config 0:0200 --out 01020304 --in 8
check "which holds" says "written: 2 bytes: 01 02"
check "it can write one byte of it" ask --config 1:00 --out 01020304 --in 8
check "and no other is changed" says "configuration afterwards: 00 00"
check "the next driver begins anew" ask --out 01020304 --in 8
check "with the limit there was" says "written: 4 bytes: 01 02 03 04"
check "it goes with its module" unload echo_step3

begin ours/tutorial/echo_step4
check "the parent answers, and tells of its configuration" ask --out 01020304 --in 8 --changes
check "with the request's bytes" says "written: 4 bytes: 01 02 03 04"
check "and counts" says "configuration afterwards: 00 10 01 00"
check "the driver sets a limit" ask --config 0:0200 --out 01020304 --in 8
check "which holds" says "written: 2 bytes: 01 02"
vdpa dev del echo0
refused "features that it does not have are refused" "Invalid argument" \
	vdpa dev add name echo0 mgmtdev echo_step4 device_features 0x300000001
check "others can be left out" vdpa dev add name echo0 mgmtdev echo_step4 device_features 0x100000000
vhost-client raw --dev "$(vhost_of echo0)" >/tmp/raw
check "and are not offered then" says "features: 0x100000000"
check "it goes with its module" unload echo_step4

begin ours/tutorial/echo_step5
check "it is suspended, says where it stands, and goes on" ask --out 01020304 --in 8 --suspend
check "where it stood" says "virtqueue 0 stands at 1"
check "and answers again" says_twice "written: 4 bytes: 01 02 03 04"
check "it goes with its module" unload echo_step5

begin ours/template/vdpa_echo
check "the driver from elsewhere works" ask --out 01020304 --in 8 --changes --suspend
check "it answers" says "written: 4 bytes: 01 02 03 04"
dmesg -c >/dev/null
gone echo0 opened vdpa dev del echo0
check "and says what it has done" eval "dmesg | grep -q 'vdpa_echo: echo0: 2 requests were answered'"
check "it goes with its module" unload vdpa_echo

load ours/vdpa_rng
check "an entropy device is made" vdpa dev add name echo0 mgmtdev vdpa_rng
device=$(vhost_of echo0)
check "it fills what it is given" ask --in 32
check "all of it" grep -q "^# written: 32 bytes: " /tmp/raw
check "it goes with its module" unload vdpa_rng

checks guest counts --compare /tmp/before --slack-kb 2048
check "and the rest" unload vhost_vdpa vdpa
