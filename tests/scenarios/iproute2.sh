# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: each command of iproute2's vdpa, what it prints as text and as JSON, and what it says of a refusal
# debugging: no, what it shows of our modules there bad-netlink does, too
# modules: ours/vdpa ours/virtio_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk stock/virtio_net stock/virtio_blk
# modules: stock/9p stock/9pnet_virtio
# tools: vdpa guest
# files: tests/traffic.sh tests/others.sh
# others: yes
# memory: 2G

. /files/others.sh
. /files/traffic.sh

# prints PATTERN COMMAND...: that is all that it prints, with ; after each line and # for a number.
prints() {
	local pattern=$1 printed
	shift
	"$@" >/tmp/printed || return
	printed=$(sed 's/ *$//' /tmp/printed | tr '\n' ';')
	pattern=$(echo "$pattern" | sed 's/#/[0-9]+/g')
	echo "$printed"
	echo "$printed" | grep -Eqx -e "${pattern:+$pattern;}"
}

# shows TEXT JSON ARGUMENT...: as text, and as JSON in one line. Both kinds of JSON are kept.
shows() {
	local text=$1 json=$2 what
	shift 2
	what=$*
	check "vdpa $what" prints "$text" vdpa "$@"
	check "vdpa -j $what" prints "$json" vdpa -j "$@"
	vdpa -jp "$@" >"/tmp/json/$(echo "$what" | tr ' ' _).pretty"
	cp /tmp/printed "/tmp/json/$(echo "$what" | tr ' ' _).line"
}

# same_json: both kinds are JSON, and say the same.
same_json() {
	others python3 -c '
import glob, json
names = glob.glob("/tmp/json/*.line")
for name in names:
    line, pretty = open(name).read(), open(name[:-4] + "pretty").read()
    assert json.loads(line) == json.loads(pretty), name
    assert line.count("\n") == 1 < pretty.count("\n"), name
print(len(names), "pairs")'
}

net0="net0: type network mgmtdev vdpasim_net vendor_id 0 max_vqs # max_vq_size #"
net1="net1: type network mgmtdev vdpasim_net vendor_id 0 max_vqs # max_vq_size #"
blk0="blk0: type block mgmtdev vdpasim_blk vendor_id 0 max_vqs # max_vq_size #"
net='\{"type":"network","mgmtdev":"vdpasim_net","vendor_id":0,"max_vqs":#,"max_vq_size":#\}'
blk='\{"type":"block","mgmtdev":"vdpasim_blk","vendor_id":0,"max_vqs":#,"max_vq_size":#\}'

check "programs of others can be read" mount_others
mkdir /tmp/json
version vdpa -V
load stock/virtio_net
load stock/virtio_blk
load ours/vdpa
shows "" '\{"mgmtdev":\{\}\}' mgmtdev show
shows "" '\{"dev":\{\}\}' dev show
load ours/vdpa_sim_net
load ours/vdpa_sim_blk
shows "vdpasim_net:;  supported_classes net;  max_supported_vqs #;  dev_features .* VERSION_1 .*" \
	'\{"mgmtdev":\{"vdpasim_net":\{"supported_classes":\["net"\],"max_supported_vqs":#,"dev_features":\[.*"VERSION_1".*\]\}\}\}' \
	mgmtdev show vdpasim_net
shows "vdpasim_net:.*vdpasim_blk:;  supported_classes block;  max_supported_vqs #;  dev_features .*" \
	'\{"mgmtdev":\{"vdpasim_net":\{.*\},"vdpasim_blk":\{"supported_classes":\["block"\],.*\}\}\}' mgmtdev show

check "vdpa dev add, with MAC address and MTU" vdpa dev add name net0 mgmtdev vdpasim_net mac 52:54:00:12:34:56 mtu 1400
check "vdpa dev add, with features" \
	vdpa dev add name net1 mgmtdev vdpasim_net mac 52:54:00:12:34:57 device_features 0x300000020
check "vdpa dev add, a disk" vdpa dev add name blk0 mgmtdev vdpasim_blk
shows "$net0" "\\{\"dev\":\\{\"net0\":$net\\}\\}" dev show net0
shows "$net0;$net1;$blk0" "\\{\"dev\":\\{\"net0\":$net,\"net1\":$net,\"blk0\":$blk\\}\\}" dev show
shows "net0: mac 52:54:00:12:34:56 link up link_announce false mtu 1400" \
	'\{"config":\{"net0":\{"mac":"52:54:00:12:34:56","link ":"up","link_announce ":false,"mtu":1400\}\}\}' \
	dev config show net0
refused "statistics before there is a driver" "negotiation" vdpa dev vstats show net0 qidx 0

load ours/virtio_vdpa
interface=$(interface_of net0)
check "frames return" eval "ip link set $interface up && guest frames --if $interface --count 50 --size 1000"
# No more of them, so that what is shown twice is the same.
ip link set "$interface" down
shows "net1: mac 52:54:00:12:34:57;  negotiated_features MAC VERSION_1 ACCESS_PLATFORM" \
	'\{"config":\{"net1":\{"mac":"52:54:00:12:34:57","negotiated_features":\["MAC","VERSION_1","ACCESS_PLATFORM"\]\}\}\}' \
	dev config show net1
shows "net0: mac .*;  negotiated_features .*;net1: mac .*;  negotiated_features .*;blk0:.*" \
	'\{"config":\{"net0":\{.*\},"net1":\{.*\},"blk0":\{.*\}\}\}' dev config show
shows "net0: queue_type [a-z_]+ rx packets # rx bytes [0-9]{5,} rx errors 0 rx overruns 0 rx drops #" \
	'\{"vstats":\{"net0":\{"queue_type":"[a-z_]+","rx packets":#,"rx bytes":[0-9]{5,},"rx errors":0,"rx overruns":0,"rx drops":#\}\}\}' \
	dev vstats show net0 qidx 0
shows "net0: queue_type tx tx packets # tx bytes [0-9]{5,} tx errors 0 tx drops 0" \
	'\{"vstats":\{"net0":\{"queue_type":"tx","tx packets":#,"tx bytes":[0-9]{5,},"tx errors":0,"tx drops":0\}\}\}' \
	dev vstats show net0 qidx 1
check "vdpa dev set" vdpa dev set name net0 mac 52:54:00:aa:bb:cc
check "it is set" eval "vdpa dev config show net0 | grep -q 'mac 52:54:00:aa:bb:cc '"

# Each refusal has a text that the program prints.
refused "vdpa mgmtdev show, of none" "none" vdpa mgmtdev show none
refused "vdpa dev show, of none" "none" vdpa dev show none
refused "vdpa dev config show, of none" "none" vdpa dev config show none
refused "vdpa dev vstats show, of none" "none" vdpa dev vstats show none qidx 0
refused "vdpa dev vstats show, of a disk" "blk0" vdpa dev vstats show blk0 qidx 0
refused "vdpa dev add, of a name that is taken" "net0" vdpa dev add name net0 mgmtdev vdpasim_net
refused "vdpa dev add, of more pairs than there can be" "vdpasim_net" vdpa dev add name net2 mgmtdev vdpasim_net max_vqp 2
refused "vdpa dev set, of a disk" "blk0" vdpa dev set name blk0 mac 52:54:00:aa:bb:cc
refused "vdpa dev del, of none" "none" vdpa dev del none
for device in net0 net1 blk0; do
	check "vdpa dev del $device" vdpa dev del $device
done
check "none is left" eval "! vdpa dev show | grep -q ."
check "all JSON is JSON, in one line or more" same_json
check "the simulators are unloaded" unload_simulators
nothing_left virtio_vdpa vdpa
