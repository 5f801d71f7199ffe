/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Headers whose declarations the kernel's own `bindings` crate lacks.
 *
 * Everything that the kernel's crate does have is taken from there, see
 * bindings.rs; which headers are translated here is said in Kbuild.
 */
#include <linux/hrtimer_types.h>
#include <linux/device.h>
#include <linux/device/bus.h>
#include <linux/etherdevice.h>
#include <linux/group_cpus.h>
#include <linux/interrupt.h>
#include <linux/irqbypass.h>
#include <linux/kthread.h>
#include <linux/mod_devicetable.h>
#include <linux/vdpa.h>
#include <linux/vhost_iotlb.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <net/genetlink.h>
#include <uapi/linux/vdpa.h>
#include <uapi/linux/vhost.h>
#include <uapi/linux/virtio_blk.h>
#include <uapi/linux/virtio_ids.h>
#include <uapi/linux/virtio_net.h>
