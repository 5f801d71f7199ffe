# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: a parent whose doorbells, numbers and files are not what others have, and that refuses
# modules: ours/vdpa ours/vdpa_worst ours/vhost_vdpa ours/vdpa_sim_net
# tools: vdpa vhost-client guest
# files: tests/vhost-devices.sh tests/worst.sh
# cpus: 2
# timeout: 120

. /files/vhost-devices.sh
. /files/worst.sh

parents() {
	local what=$1
	shift
	checks vhost-client parents --dev "$(vhost_of worst0)" --what "$what" "$@"
}

# pinned: how many pages are. Each processor counts for itself until it is asked.
pinned() {
	echo 1 >/proc/sys/vm/stat_refresh
	awk '/^nr_foll_pin_acquired/ { n += $2 } /^nr_foll_pin_released/ { n -= $2 } END { print n }' /proc/vmstat
}

# said TEXT: how often the log says so.
said() {
	dmesg | grep -c "$1"
}

load_worst gap=0
load ours/vdpa_sim_net
load ours/vhost_vdpa
check "a device is added" add_worst

for doorbells in 1 2; do
	trait doorbells $doorbells
	parents doorbells
	check "doorbells were rung" test "$(seen rung)" -gt 0
	check "but none that was not there" test "$(seen rung-late)" = 0
done
trait doorbells 3
parents doorbells-by-features
trait doorbells 0

trait moves 1
parents calls
trait moves 0

trait trigger 1
checks vhost-client net --dev "$(vhost_of worst0)" --count 100
check "it has signalled eventfds itself" test "$(seen triggered)" -gt 0
checks vhost-client stress --dev "$(vhost_of worst0)" --only calls-exchanged
trait trigger 0

trait stuck 1
check "a status that is never 0 keeps nobody waiting" in_time sh -c "vhost-client net --dev $(vhost_of worst0) --count 1; true"
trait stuck 0
check "the device is deleted" in_time vdpa dev del worst0

trait files 1
check "a device for files is added" vdpa dev add name worst0 mgmtdev vdpa_worst
if debugging; then
	parents files
else
	parents files --no-file-system
fi
check "it is said once what is left out" test "$(said 'not mapped, must be shared memory of a file')" = 1
check "it is deleted" unload vdpa_worst
check "and its modules" unload vdpa_sim_net vhost_vdpa

load ours/vdpa_sim_net use_va=0 batch_mapping=0
load ours/vdpa_worst gap=0
load ours/vhost_vdpa max_iotlb_entries=200
check "a device that refuses is added" add_worst
before=$(pinned)
trait unmap_fails 1
checks vhost-client net --dev "$(vhost_of worst0)" --count 100
check "it has refused" test "$(cat /sys/module/vdpa_worst/parameters/unmap_fails)" = 0
check "nothing stays pinned" test "$(pinned)" = "$before"
parents limit
check "the log says that there are too many" test "$(said 'must be 200 or less')" -gt 0
check "nothing stays pinned of that" test "$(pinned)" = "$before"
