# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: random calls, messages and netlink messages, while devices and modules come and go
# modules: ours/vdpa ours/vhost_vdpa ours/virtio_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk ours/vdpa_worst
# modules: stock/virtio_net stock/virtio_blk
# tools: vdpa fuzz guest
# cpus: 2
# memory: 1536M
# timeout: 600
# debugging: only

# `make fuzz` puts others here, and adds to the timeout. The worst of parents gets a third of the time twice.
seed=1
seconds=45

# What is there to begin with. The fuzzer loads simulators again, with other parameters. A disk takes long
# to make on this kernel, so there is one for all devices.
load_all() {
	# A device that two drivers would take gets the first.
	load stock/virtio_net && load stock/virtio_blk && load ours/vdpa && load ours/vhost_vdpa && load ours/virtio_vdpa &&
		load ours/vdpa_sim_net use_va=0 && load ours/vdpa_sim_blk shared_backend=1
}

echo 8 >/proc/sys/vm/nr_hugepages
load_all
guest counts >/tmp/before

# Whoever has a device probed by sysfs while it is being added is put off, with a reason that the kernel keeps and frees
# only if the device is on a list, on which such a device is not.
lost_by device_set_deferred_probe_reason
checks fuzz calls --seed $seed --seconds $seconds
checks guest counts --compare /tmp/before --slack-kb 16384
check "all is unloaded" unload vdpa_sim_net vdpa_sim_blk vdpa_sim virtio_vdpa vhost_vdpa vdpa
guest counts >/tmp/before

# load_worst [PARAMETER=VALUE...]: the first device has a driver before there is one that would take any, and parameters
# of the simulator.
load_worst() {
	load ours/vdpa && load ours/vdpa_worst inner=inner0 stray=1 && load ours/vdpa_sim_net "$@" &&
		vdpa dev add name inner0 mgmtdev vdpasim_net && load ours/vhost_vdpa && load ours/virtio_vdpa
}

for parameters in "use_va=0 batch_mapping=0" use_va=1; do
	# shellcheck disable=SC2086 # These are words.
	load_worst $parameters
	checks fuzz calls --worst --seed $seed --seconds $((seconds / 3))
	check "all is unloaded after $parameters" unload vdpa_worst vdpa_sim_net vdpa_sim virtio_vdpa vhost_vdpa vdpa
done
checks guest counts --compare /tmp/before --slack-kb 16384
note "$(grep 'stack-trace entries\|lock-classes' /proc/lockdep_stats)"
