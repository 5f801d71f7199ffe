# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: what stays is in every list once, while others come and go
# modules: ours/vdpa ours/vdpa_sim_net ours/vdpa_null ours/vdpa_test
# tools: vdpa guest
# cpus: 2
# memory: 1024
# timeout: 900

# Those that stay, of which some have one that goes in front of them; and how often all are shown.
stay=200
times=40
! debugging || times=10

add() {
	vdpa dev add name "$1" mgmtdev vdpasim_net mac 52:54:00:12:34:56
}

add_all() {
	local i
	for i in $(seq $stay); do
		add "stay$i" || return
		[ $((i % 20)) != 10 ] || add "goes$i" || return
	done
}

# One that is there goes, and comes again as the last one. What this did is counted in a file.
come_and_go() {
	local i n=0
	while [ -e /tmp/churn ]; do
		for i in $(seq 10 20 $stay); do
			vdpa dev del "goes$i" && add "goes$i" || return
			n=$((n + 1))
			echo $n >/tmp/changes
		done
	done
}

# Modules, for management devices.
load_and_unload() {
	local n=0
	while [ -e /tmp/churn ]; do
		load ours/vdpa_null && unload vdpa_null || return
		n=$((n + 1))
		echo $n >/tmp/changes
	done
}

# each_once PATTERN NUMBER FILE: so many different lines begin with it, and none twice.
each_once() {
	awk -v pattern="^$1[0-9]*:" -v number="$2" '
		$1 ~ pattern && seen[$1]++ { print $1 " is there twice"; bad = 1 }
		END {
			for (name in seen) count++
			if (count != number) { print count + 0 " of " number " are there"; bad = 1 }
			exit bad
		}' "$3"
}

# shown PATTERN NUMBER ARGUMENT...: all are, each of the times. The first five failures are told.
shown() {
	local pattern=$1 number=$2 i=0 bad=0
	shift 2
	while [ $i -lt $times ]; do
		i=$((i + 1))
		vdpa "$@" >/tmp/shown 2>/tmp/why && each_once "$pattern" "$number" /tmp/shown >>/tmp/why && continue
		bad=$((bad + 1))
		[ $bad -gt 5 ] || echo "$i: $(cat /tmp/why)"
	done
	echo "$bad of $times went wrong"
	[ $bad = 0 ]
}

# changing HOW COMMAND...: something does while it runs.
changing() {
	local how=$1 process status=0
	shift
	touch /tmp/churn
	echo 0 >/tmp/changes
	$how >/tmp/churned 2>&1 &
	process=$!
	wait_for 20 eval "[ \$(cat /tmp/changes) -gt 0 ]"
	"$@" || status=1
	rm /tmp/churn
	wait $process || { cat /tmp/churned; return 1; }
	echo "there were $(cat /tmp/changes) changes meanwhile"
	[ "$(cat /tmp/changes)" -gt 5 ] && return $status
}

guest counts >/tmp/before
load ours/vdpa
load ours/vdpa_sim_net
check "$stay devices are made, and some that will not stay" add_all
check "devices are shown" changing come_and_go shown stay $stay dev show
check "so are configurations" changing come_and_go shown stay $stay dev config show
check "without changes everything is shown" eval "times=1 shown '(stay|goes)' $((stay + 10)) dev show"
load ours/vdpa_test managements=$stay
check "management devices are shown" changing load_and_unload shown vdpa_test $stay mgmtdev show
check "all is unloaded" unload vdpa_test vdpa_sim_net vdpa_sim vdpa vhost_iotlb
checks guest counts --compare /tmp/before --slack-kb 16384
