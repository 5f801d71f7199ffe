# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# What scenarios call. Run by init; runs the scenario that it is given and exits with the number of failed
# checks.
#
#   load FROM/NAME [PARAMETER=VALUE...]   load a module (ours, stock or c) and first what it needs;
#                                         a module that is loaded by that name already serves,
#                                         whoever built it
#   unload NAME...                        unload modules, in this order
#   check "what" COMMAND...               passes if the command succeeds
#   refused "what" "text" COMMAND...      passes if it fails and says this on standard error
#   checks COMMAND...                     a program that itself prints `ok ...` and `not ok ...`
#   ok "what"; fail "what" [why]          a check made by hand
#   wait_for SECONDS COMMAND...           until the command succeeds, so long at most, and longer where this machine
#                                         gets so little of a processor that it could not even ask often enough
#   debugging                             whether this is the debugging kernel, which is slow
#   note "..."                            a remark
#   skip "why"                            ends the scenario: it cannot be run here
#
# load and unload print nothing when they succeed; when they fail outside a check, that is a
# failed check.

passed=0
failed=0
in_check=

note() {
	echo "# $*"
}

ok() {
	passed=$((passed + 1))
	echo "ok $1"
}

# fail WHAT [WHY]: the reason is indented.
fail() {
	failed=$((failed + 1))
	echo "not ok $1"
	if [ -n "${2:-}" ]; then
		printf '%s\n' "$2" | sed 's/^/    /'
	fi
}

# Runs a command of which the caller judges the result. In this shell, so that it may set variables.
in_check() {
	in_check=yes
	"$@" >/tmp/.stdout 2>/tmp/.stderr
	local status=$?
	in_check=
	return $status
}

check() {
	local what=$1 status
	shift
	in_check "$@"
	status=$?
	if [ $status = 0 ]; then
		ok "$what"
	else
		fail "$what" "$(echo "status $status of: $*" && cat /tmp/.stdout /tmp/.stderr)"
	fi
	return $status
}

refused() {
	local what=$1 text=$2
	shift 2
	if in_check "$@"; then
		fail "$what" "$(echo "was not refused: $*" && cat /tmp/.stdout)"
	elif grep -qF -e "$text" /tmp/.stderr; then
		ok "$what"
		return 0
	else
		fail "$what" "$(echo "refused, but not with '$text':" && cat /tmp/.stdout /tmp/.stderr)"
	fi
	return 1
}

checks() {
	local name=${1##*/} status results=/tmp/.checks
	{
		"$@" 2>&1
		echo $? >/tmp/.status
	} | tee $results
	status=$(cat /tmp/.status)
	set -- "$(grep -c '^ok ' $results)" "$(grep -c '^not ok ' $results)"
	passed=$((passed + $1))
	failed=$((failed + $2))
	if [ "$status" != 0 ] && [ "$2" = 0 ]; then
		fail "$name ended with status $status" "$(tail -n 5 $results)"
	elif [ "$1" = 0 ] && [ "$2" = 0 ]; then
		fail "$name made no check"
	fi
}

debugging() {
	[ -e /sys/kernel/debug/kmemleak ]
}

# A machine that has to wait for a processor of its host sees time go by and nothing happen. So there are five tries
# for each second, and no more than ten times the time.
wait_for() {
	local begin tries=$(($1 * 5)) limit=$1 now
	shift
	begin=$(seconds)
	until "$@"; do
		now=$(($(seconds) - begin))
		[ $now -lt "$limit" ] || { [ $tries -gt 0 ] && [ $now -lt $((limit * 10)) ]; } || return 1
		tries=$((tries - 1))
		usleep 20000
	done
}

# Of this guest's time, whole.
seconds() {
	local now
	read -r now _ </proc/uptime
	echo "${now%%.*}"
}

skip() {
	echo "skip $*"
	skipped=yes
	exit
}

# Says on standard error what went wrong; outside of a check that is a failed one.
complain() {
	if [ -n "$in_check" ]; then
		echo "$*" >&2
	else
		fail "$1" "${2:-}"
	fi
	return 1
}

loaded() {
	[ -d "/sys/module/$1" ]
}

load() {
	local module=$1 need error
	shift
	if [ ! -e "/modules/$module.ko" ]; then
		complain "load $module" "is not in the guest: name it in the line '# modules:'"
		return 1
	fi
	while read -r need; do
		loaded "${need#*/}" || load "$need" || return 1
	done <"/modules/$module.needs"
	error=$(insmod "/modules/$module.ko" "$@" 2>&1) || complain "load $module" "$error"
}

unload() {
	local name error
	for name in "$@"; do
		error=$(rmmod "$name" 2>&1) || complain "unload $name" "$error" || return 1
	done
}

# lost_by FUNCTION: memory that was allocated in this function of the kernel is lost by a mistake of its own.
lost_by() {
	echo "$1+" >>/tmp/.lost_by
}

finish() {
	if [ -z "$skipped" ]; then
		[ $((passed + failed)) != 0 ] || fail "the scenario made no check"
		[ -n "$complete" ] || [ $failed != 0 ] || fail "the scenario stopped half way"
	fi
	exit $((failed > 100 ? 100 : failed))
}

skipped=
complete=
trap finish EXIT
# shellcheck disable=SC1090 # Which it is is known when it runs.
. "$1"
complete=yes
