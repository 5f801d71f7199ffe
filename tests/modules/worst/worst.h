/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VDPA_WORST_H
#define VDPA_WORST_H

#include <linux/hrtimer.h>
#include <linux/spinlock.h>
#include <linux/vdpa.h>

#define WORST_QUEUES	16

struct worst;

struct worst_vq {
	struct worst *worst;
	struct vdpa_callback cb;
	/* For `trigger` only: who signals an eventfd itself has to have it that long. */
	spinlock_t lock;
	/* The doorbell is the one, the next one will be the other. */
	struct page *pages[2];
	unsigned int page;
};

struct worst {
	/* First, as free() is told of this. */
	struct vdpa_device vdev;
	struct vdpa_device *inner;
	struct vdpa_config_ops *ops;
	struct worst_vq vqs[WORST_QUEUES];
	struct vdpa_callback config_cb;
	struct vdpa_callback ctrl_cb;
	u64 features;
	bool placed;
	bool stuck;
	struct hrtimer timer;
	struct task_struct *thread;
	atomic_t rung, rung_late, triggered, called;
	struct dentry *debugfs;
};

static inline struct worst *to_worst(const struct vdpa_device *vdev)
{
	return container_of(vdev, struct worst, vdev);
}

/* traits.c: what other parents do. */
extern const struct vdpa_config_ops worst_traits;

bool worst_has_process(void);
int worst_start(struct worst *worst);
void worst_stop(struct worst *worst);

/* forward.c: all operations, for a device that has the work done by one with these. */
struct vdpa_config_ops *worst_make_ops(const struct vdpa_config_ops *inner);

#endif
