# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=busybox
#
# title: libvirt finds our devices, and its domain uses one
# debugging: no, an emulator in an emulator takes too long there
# modules: ours/vdpa ours/vhost_vdpa ours/vdpa_sim_net ours/vdpa_sim_blk stock/9p stock/9pnet_virtio
# modules: stock/vhost_iotlb stock/kvm_amd stock/virtio_net
# tools: vdpa guest
# files: tests/others.sh tests/vhost-devices.sh tests/nested/qemu.sh tests/nested/init.sh tests/nested/frames.sh
# files: {kernel}/vmlinux
# others: yes
# memory: 2G
# timeout: 300

. /files/others.sh
. /files/vhost-devices.sh
. /files/qemu.sh

virsh() {
	others virsh -c qemu:///system "$@"
}

check "programs of others can be read" mount_others
package libvirt-daemon
for directory in etc/libvirt var; do
	mount -t tmpfs none /others/$directory
done
mkdir -p /others/etc/libvirt/qemu /others/var/lib /others/var/log /others/var/cache /run/lock
ln -s /run /others/var/run
# It asks for them before it reads that they are not wanted.
for file in passwd group; do
	sed 'p; s/^root/libvirt-qemu/p; s/^libvirt-qemu/kvm/' /etc/$file >/tmp/$file
	mount -o bind /tmp/$file /others/etc/$file
done
rm -f /tmp/inner.console
echo 'auth_unix_rw = "none"' >/others/etc/libvirt/libvirtd.conf
cat >/others/etc/libvirt/qemu.conf <<'END'
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
seccomp_sandbox = 0
stdio_handler = "file"
END
load stock/vhost_iotlb
inner_kvm
inner_archive frames virtio_net
guest counts >/tmp/before
load ours/vdpa
load ours/vhost_vdpa
load ours/vdpa_sim_net
load ours/vdpa_sim_blk
check "a network device is added" add_net net0 52:54:00:12:34:56
check "and a disk" add_blk blk0
begin=$(seconds)
# Not by the function, whose process would be another.
LC_ALL=C chroot /others libvirtd >/tmp/libvirtd.log 2>&1 &
libvirtd=$!
check "libvirtd answers" wait_for 60 virsh nodedev-list --cap vdpa || { cat /tmp/libvirtd.log; exit; }
note "after $(($(seconds) - begin)) s"
check "it lists both devices" eval "[ \"\$(virsh nodedev-list --cap vdpa | sort | xargs)\" = 'vdpa_blk0 vdpa_net0' ]"
for device in net0 blk0; do
	check "it knows the character device of $device" \
		eval "virsh nodedev-dumpxml vdpa_$device | grep -q '<chardev>$(vhost_of $device)</chardev>'"
done
cat >/tmp/domain.xml <<END
<domain type='$([ -c /dev/kvm ] && echo kvm || echo qemu)' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>inner</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>/files/vmlinux</kernel>
    <initrd>/tmp/inner.frames.cpio</initrd>
    <cmdline>console=ttyS0 loglevel=2 panic=-1 tsc=reliable no_timer_check</cmdline>
  </os>
  <cpu mode='maximum'/>
  <clock offset='utc'>
    <timer name='hpet' present='no'/>
  </clock>
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <interface type='vdpa'>
      <mac address='52:54:00:12:34:56'/>
      <source dev='$(vhost_of net0)'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>
    <serial type='file'>
      <source path='/tmp/inner.console'/>
    </serial>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-device'/>
    <qemu:arg value='isa-debug-exit,iobase=0x501,iosize=1'/>
    <qemu:arg value='-global'/>
    <qemu:arg value='virtio-pci.modern-pio-notify=on'/>
    <qemu:arg value='-global'/>
    <qemu:arg value='virtio-net-device.status=off'/>
  </qemu:commandline>
</domain>
END
check "a domain with one of them is started" virsh create /tmp/domain.xml ||
	{ cat /tmp/libvirtd.log /others/var/log/libvirt/qemu/*; exit; }
check "its guest gets to its end" slowly 150 eval "! virsh domstate inner"
note "after $(($(seconds) - begin)) s"
checks tr -d '\r' </tmp/inner.console
check "all of its frames came back" eval "[ \$(grep -c '^ok frames/counters' /tmp/inner.console) = 2 ]"
check "QEMU got the character device as an open file" \
	grep -q '"vhostdev":"/dev/fdset/' /others/var/log/libvirt/qemu/inner.log
kill $libvirtd
wait $libvirtd
check "devices go" eval "vdpa dev del net0 && vdpa dev del blk0"
check "the simulators are unloaded" unload_simulators
unload vhost_vdpa vdpa
checks guest counts --compare /tmp/before --slack-kb 16384
