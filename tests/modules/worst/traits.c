// SPDX-License-Identifier: GPL-2.0
/*
 * What other parents do, and the interface does not forbid.
 *
 *  - Function and argument of a callback are written and read one after the other, without a lock;
 *    `gap` is how long that takes.
 *  - `stray`: an interrupt and a thread call what they find, whether or not the device was reset.
 *  - `doorbells`: there are none (0); they are where they are (1), from FEATURES_OK to reset only,
 *    at another place each time (2), or for virtqueues beyond the first pair with CTRL_VQ only (3).
 *  - `moves`: the control queue is the last virtqueue with CTRL_VQ, and number 1 without; the
 *    callback that is set for a virtqueue is that of the control queue if it is one at the time.
 *  - `unmap_fails`: so many requests to unmap memory are refused.
 *  - `stuck`: the status has all bits, from the next reset on.
 *  - `trigger`: it signals the eventfd of a virtqueue, where it is given one.
 *  - `files`: new devices have virtual addresses and no process, and so nothing but files.
 */
#include <linux/delay.h>
#include <linux/eventfd.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <uapi/linux/virtio_config.h>
#include <uapi/linux/virtio_net.h>

#include "worst.h"

#define WORST_PERIOD	NSEC_PER_MSEC
#define NOT_RUNG	0xffff

static uint gap = 20;
module_param(gap, uint, 0644);
MODULE_PARM_DESC(gap, "Microseconds between function and argument of a callback");

static bool stray;
module_param(stray, bool, 0644);
MODULE_PARM_DESC(stray, "Call callbacks at any time");

static uint doorbells;
module_param(doorbells, uint, 0644);
MODULE_PARM_DESC(doorbells, "0 - none, 1 - always there, 2 - from FEATURES_OK on, 3 - by CTRL_VQ");

static bool moves;
module_param(moves, bool, 0644);
MODULE_PARM_DESC(moves, "Which virtqueue is the control queue depends on features");

static uint unmap_fails;
module_param(unmap_fails, uint, 0644);
MODULE_PARM_DESC(unmap_fails, "How many requests to unmap memory are refused");

static bool stuck;
module_param(stuck, bool, 0644);
MODULE_PARM_DESC(stuck, "The status has all bits after the next reset");

static bool trigger;
module_param(trigger, bool, 0644);
MODULE_PARM_DESC(trigger, "Signal eventfds of virtqueues directly");

static bool files;
module_param(files, bool, 0644);
MODULE_PARM_DESC(files, "New devices have files in the place of a process");

static void worst_set_pair(struct vdpa_callback *to, const struct vdpa_callback *from)
{
	WRITE_ONCE(to->callback, from->callback);
	udelay(gap);
	WRITE_ONCE(to->private, from->private);
}

static void worst_call(struct worst *worst, struct vdpa_callback *cb)
{
	irqreturn_t (*callback)(void *data) = READ_ONCE(cb->callback);

	if (!callback)
		return;
	udelay(gap);
	callback(READ_ONCE(cb->private));
	atomic_inc(&worst->called);
}

static bool worst_has_ctrl(struct worst *worst)
{
	return worst->features & BIT_ULL(VIRTIO_NET_F_CTRL_VQ);
}

static bool worst_is_ctrl(struct worst *worst, u16 idx)
{
	return idx == (worst_has_ctrl(worst) ? worst->vdev.nvqs - 1 : 1);
}

static bool worst_trigger(struct worst_vq *vq)
{
	guard(spinlock_irqsave)(&vq->lock);
	if (!trigger || !vq->cb.trigger)
		return false;
	eventfd_signal(vq->cb.trigger);
	atomic_inc(&vq->worst->triggered);
	return true;
}

static irqreturn_t worst_vq_done(void *data)
{
	struct worst_vq *vq = data;
	struct worst *worst = vq->worst;

	if (moves && worst_is_ctrl(worst, vq - worst->vqs))
		worst_call(worst, &worst->ctrl_cb);
	else if (!worst_trigger(vq))
		worst_call(worst, &vq->cb);
	return IRQ_HANDLED;
}

static irqreturn_t worst_config_changed(void *data)
{
	struct worst *worst = data;

	worst_call(worst, &worst->config_cb);
	return IRQ_HANDLED;
}

static void worst_set_vq_cb(struct vdpa_device *vdev, u16 idx, struct vdpa_callback *cb)
{
	struct worst *worst = to_worst(vdev);
	struct worst_vq *vq = &worst->vqs[idx];

	worst_set_pair(&vq->cb, cb);
	scoped_guard(spinlock_irqsave, &vq->lock)
		vq->cb.trigger = cb->trigger;
	if (worst_is_ctrl(worst, idx))
		worst_set_pair(&worst->ctrl_cb, cb);
}

static void worst_set_config_cb(struct vdpa_device *vdev, struct vdpa_callback *cb)
{
	worst_set_pair(&to_worst(vdev)->config_cb, cb);
}

static u16 worst_doorbell(struct worst_vq *vq, unsigned int page)
{
	u16 *rung = page_address(vq->pages[page]);

	return xchg(rung, NOT_RUNG);
}

/* What an interrupt would do: look at the doorbells, call who wants to be called. */
static enum hrtimer_restart worst_tick(struct hrtimer *timer)
{
	struct worst *worst = container_of(timer, struct worst, timer);
	unsigned int i;

	for (i = 0; i < worst->vdev.nvqs; i++) {
		struct worst_vq *vq = &worst->vqs[i];

		if (worst_doorbell(vq, !vq->page) != NOT_RUNG)
			atomic_inc(&worst->rung_late);
		if (worst_doorbell(vq, vq->page) != NOT_RUNG) {
			atomic_inc(worst->placed ? &worst->rung : &worst->rung_late);
			worst->inner->config->kick_vq(worst->inner, i);
		}
		if (stray)
			worst_call(worst, &vq->cb);
	}
	if (stray)
		worst_call(worst, &worst->config_cb);
	hrtimer_forward_now(timer, ns_to_ktime(WORST_PERIOD));
	return HRTIMER_RESTART;
}

/* The same in a context in which it can be interrupted for any time. */
static int worst_notifier(void *data)
{
	struct worst *worst = data;

	while (!kthread_should_stop()) {
		if (stray)
			worst_call(worst, &worst->config_cb);
		usleep_range(100, 200);
	}
	return 0;
}

/* --- Doorbells ---------------------------------------------------------------------------------- */

static struct vdpa_notification_area worst_get_vq_notification(struct vdpa_device *vdev, u16 idx)
{
	struct worst *worst = to_worst(vdev);
	struct worst_vq *vq = &worst->vqs[idx];
	struct vdpa_notification_area area = { .size = PAGE_SIZE };

	if (doorbells == 0 || (doorbells == 3 && idx >= 2 && !worst_has_ctrl(worst)))
		return (struct vdpa_notification_area){ };
	if (doorbells != 2 || worst->placed)
		area.addr = page_to_phys(vq->pages[vq->page]);
	return area;
}

/* --- Status ------------------------------------------------------------------------------------- */

static u8 worst_get_status(struct vdpa_device *vdev)
{
	struct worst *worst = to_worst(vdev);

	return worst->stuck ? 0xff : worst->inner->config->get_status(worst->inner);
}

static void worst_set_status(struct vdpa_device *vdev, u8 status)
{
	struct worst *worst = to_worst(vdev);
	struct vdpa_device *inner = worst->inner;
	struct vdpa_callback cb = { .callback = worst_config_changed, .private = worst };
	unsigned int i;

	if (status & VIRTIO_CONFIG_S_DRIVER_OK &&
	    !(inner->config->get_status(inner) & VIRTIO_CONFIG_S_DRIVER_OK)) {
		inner->config->set_config_cb(inner, &cb);
		for (i = 0; i < vdev->nvqs; i++) {
			cb.callback = worst_vq_done;
			cb.private = &worst->vqs[i];
			inner->config->set_vq_cb(inner, i, &cb);
		}
	}
	inner->config->set_status(inner, status);
	if (inner->config->get_status(inner) & VIRTIO_CONFIG_S_FEATURES_OK && !worst->placed) {
		for (i = 0; i < vdev->nvqs; i++) {
			if (doorbells == 2)
				worst->vqs[i].page ^= 1;
		}
		worst->placed = true;
	}
}

static void worst_wipe(struct worst *worst)
{
	worst->placed = false;
	worst->features = 0;
	if (stuck)
		worst->stuck = true;
}

static int worst_reset(struct vdpa_device *vdev)
{
	struct worst *worst = to_worst(vdev);

	worst_wipe(worst);
	return worst->inner->config->reset(worst->inner);
}

static int worst_compat_reset(struct vdpa_device *vdev, u32 flags)
{
	struct worst *worst = to_worst(vdev);

	worst_wipe(worst);
	return worst->inner->config->compat_reset(worst->inner, flags);
}

static int worst_set_driver_features(struct vdpa_device *vdev, u64 features)
{
	struct worst *worst = to_worst(vdev);

	worst->features = features;
	return worst->inner->config->set_driver_features(worst->inner, features);
}

static int worst_dma_unmap(struct vdpa_device *vdev, unsigned int asid, u64 iova, u64 size)
{
	struct worst *worst = to_worst(vdev);

	if (unmap_fails) {
		unmap_fails--;
		return -EIO;
	}
	return worst->inner->config->dma_unmap(worst->inner, asid, iova, size);
}

static void worst_free(struct vdpa_device *vdev)
{
	struct worst *worst = to_worst(vdev);
	unsigned int i;

	for (i = 0; i < WORST_QUEUES * 2; i++) {
		if (worst->vqs[i / 2].pages[i % 2])
			__free_page(worst->vqs[i / 2].pages[i % 2]);
	}
	kfree(worst->ops);
}

const struct vdpa_config_ops worst_traits = {
	.set_vq_cb = worst_set_vq_cb,
	.get_vq_notification = worst_get_vq_notification,
	.set_driver_features = worst_set_driver_features,
	.set_config_cb = worst_set_config_cb,
	.get_status = worst_get_status,
	.set_status = worst_set_status,
	.reset = worst_reset,
	.compat_reset = worst_compat_reset,
	.dma_unmap = worst_dma_unmap,
	.free = worst_free,
};

bool worst_has_process(void)
{
	return !files;
}

int worst_start(struct worst *worst)
{
	unsigned int i;

	for (i = 0; i < WORST_QUEUES; i++) {
		worst->vqs[i].worst = worst;
		spin_lock_init(&worst->vqs[i].lock);
	}
	for (i = 0; i < WORST_QUEUES * 2; i++) {
		struct page *page = alloc_page(GFP_KERNEL);

		if (!page)
			return -ENOMEM;
		memset(page_address(page), 0xff, PAGE_SIZE);
		worst->vqs[i / 2].pages[i % 2] = page;
	}
	worst->thread = kthread_run(worst_notifier, worst, "vdpa_worst");
	if (IS_ERR(worst->thread))
		return PTR_ERR(worst->thread);
	hrtimer_setup(&worst->timer, worst_tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	hrtimer_start(&worst->timer, ns_to_ktime(WORST_PERIOD), HRTIMER_MODE_REL);
	return 0;
}

void worst_stop(struct worst *worst)
{
	hrtimer_cancel(&worst->timer);
	kthread_stop(worst->thread);
}
