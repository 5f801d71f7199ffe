# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: what each parent can do, ours and in C, is what Documentation/vdpa/features.rst says
# debugging: no, the modules in C are half of what it is about
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk ours/vdpa_null ours/vdpa_rng ours/ifcvf
# modules: c/vdpa_sim_net c/vdpa_sim_blk c/ifcvf
# tools: vdpa vhost-client
# files: tests/vhost-devices.sh tests/model.sh Documentation/vdpa/features.rst
# cpus: 3
# timeout: 300
# model:
# model: card=c5000x-blk
# iommu: intel
# append: initcall_blacklist=virtio_pci_driver_init intel_iommu=on

. /files/model.sh
. /files/vhost-devices.sh

# row PLACE WHAT COMMAND...: of the table about management; "yes" if the command succeeds.
row() {
	local place=$1 what=$2
	shift 2
	if "$@" >/dev/null 2>&1; then
		echo "$place|$what|yes"
	else
		echo "$place|$what|"
	fi
}

# made_with MGMTDEV ATTRIBUTE VALUE: whether a device can be.
made_with() {
	vdpa dev add name other mgmtdev "$@" || return
	vdpa dev del other
}

# says NAME: the word after it in what is read, if it is one.
says() {
	sed -n "s/.*\\<$1 \\([a-z0-9]*\\).*/\\1/p"
}

# manage MGMTDEV: what can be asked of a management device, which has no device.
manage() {
	echo "6.001|supported_classes|$(vdpa mgmtdev show "$1" | says supported_classes)"
	echo "6.002|max_supported_vqs|$(vdpa mgmtdev show "$1" | says max_supported_vqs)"
	row 6.003 "dev_features are listed" eval "vdpa mgmtdev show $1 | grep -q 'dev_features [^ ]'"
	row 6.004 "vdpa dev add ... device_features" made_with "$1" device_features 0x300000000
	row 6.005 "vdpa dev add ... mac" made_with "$1" mac 52:54:11:00:00:02
	row 6.006 "vdpa dev add ... mtu" made_with "$1" mtu 1400
	row 6.007 "vdpa dev add ... max_vqp" made_with "$1" max_vqp 1
}

# look MGMTDEV: all that can be asked of one parent.
look() {
	manage "$1"
	vdpa dev add name dev0 mgmtdev "$1" || return
	row 6.008 "vdpa dev set ... mac" vdpa dev set name dev0 mac 52:54:11:00:00:03
	row 6.009 "vdpa dev config show" vdpa dev config show dev0
	vhost-client features --dev "$(vhost_of dev0)" --name dev0
	vdpa dev del dev0
}

# column NUMBER WHAT MGMTDEV: has what is found out in /tmp/NUMBER.
column() {
	look "$3" >"/tmp/$1"
	check "$2 says what it can do" grep -q '^ok features/asked' "/tmp/$1"
}

# The tables, from all columns.
tables() {
	local number
	for number in 0 1 2 3 4 5 6 7 8 9; do
		sed -n "s/^\\([1-6]\\.[0-9]*[^|]*|\\)/$number|\\1/p" "/tmp/$number"
	done | sort -t '|' -k 2,2 -s | awk -F '|' -v columns=10 \
		-v first="sim_net sim_net sim_blk sim_blk null rng ifcvf ifcvf ifcvf ifcvf" \
		-v second="Rust C Rust C Rust Rust net,Rust net,C blk,Rust blk,C" \
		-v titles="Features of virtio|Features of vhost|Virtqueues|Memory|In operation|Management" '
		function pad(text, width) {
			return sprintf("%-" width "s", text)
		}
		function line(text, width, c) {
			text = pad(text, widest)
			for (c = 0; c < columns; c++) text = text " " pad(cell[c], widths[c])
			sub(/ +$/, "", text)
			print text
		}
		function rule(c, text) {
			for (c = 0; c < columns; c++) { cell[c] = pad("", widths[c]); gsub(/ /, "=", cell[c]) }
			text = pad("", widest)
			gsub(/ /, "=", text)
			line(text)
		}
		function table(number, c, i, text) {
			print ""
			print name[number]
			text = name[number]
			gsub(/./, "-", text)
			print text
			print ""
			rule()
			for (c = 0; c < columns; c++) cell[c] = heads[c + 1]
			line("what")
			for (c = 0; c < columns; c++) cell[c] = kinds[c + 1]
			line("")
			rule()
			for (i = 1; i <= rows; i++) {
				if (substr(order[i], 1, 1) != number) continue
				for (c = 0; c < columns; c++) cell[c] = value[c, order[i]]
				line(what[i])
			}
			rule()
		}
		BEGIN { split(first, heads, " "); split(second, kinds, " "); split(titles, name, "|") }
		{
			if ($2 != last) { order[++rows] = last = $2; what[rows] = $3 }
			value[$1, $2] = $4
			if (length($3) > widest) widest = length($3)
			if (length($4) > widths[$1]) widths[$1] = length($4)
		}
		END {
			for (c = 0; c < columns; c++) {
				if (length(heads[c + 1]) > widths[c]) widths[c] = length(heads[c + 1])
				if (length(kinds[c + 1]) > widths[c]) widths[c] = length(kinds[c + 1])
			}
			for (number = 1; number <= 6; number++) table(number)
		}'
}

load ours/vdpa
load ours/vhost_vdpa
for module in vdpa_sim_net vdpa_sim_blk vdpa_null vdpa_rng ifcvf; do
	load ours/$module
done
column 0 "vdpa_sim_net" vdpasim_net
column 2 "vdpa_sim_blk" vdpasim_blk
column 4 "vdpa_null" vdpa_null
column 5 "vdpa_rng" vdpa_rng
column 6 "ifcvf, network" "pci/$(function_of 0)"
column 8 "ifcvf, block" "pci/$(function_of 1)"
check "our modules go" unload vdpa_sim_net vdpa_sim_blk vdpa_sim vdpa_null vdpa_rng ifcvf
for module in vdpa_sim_net vdpa_sim_blk ifcvf; do
	load c/$module
done
column 1 "vdpa_sim_net in C" vdpasim_net
column 3 "vdpa_sim_blk in C" vdpasim_blk
column 7 "ifcvf in C, network" "pci/$(function_of 0)"
column 9 "ifcvf in C, block" "pci/$(function_of 1)"
check "and all the rest" unload vdpa_sim_net vdpa_sim_blk vdpa_sim ifcvf vhost_vdpa vdpa

tables >/tmp/new
sed '1,/^\.\. The rest is /d' /files/features.rst >/tmp/page
if ! check "the page says so" diff -U 0 /tmp/page /tmp/new; then
	note "what the page should say, each line after a bar:"
	sed 's/^/|/' /tmp/new
fi
