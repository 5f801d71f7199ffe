// SPDX-License-Identifier: GPL-2.0
/*
 * Test fixture: a parent that behaves like the worst of those in the kernel.
 *
 * It takes a vDPA device, as a driver of the bus, and offers it once more: `vdpa dev add mgmtdev
 * vdpa_worst` makes a device that does its work with the one that was taken. What it adds is in
 * traits.c. The first device must not go before the second.
 *
 * What was seen is in vdpa_worst/NAME of debugfs.
 */
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/virtio_ids.h>

#include "worst.h"

/* Held over all that changes what follows. */
static DEFINE_MUTEX(worst_lock);
static struct vdpa_device *worst_inner;
static bool worst_used;

static char *worst_name;
module_param_named(inner, worst_name, charp, 0444);
MODULE_PARM_DESC(inner, "The device to take; if it is not said, the first without a driver");

static struct device *worst_root;
static struct dentry *worst_debugfs;

static int worst_seen_show(struct seq_file *seq, void *unused)
{
	struct worst *worst = seq->private;

	seq_printf(seq, "called %d\ntriggered %d\nrung %d\nrung-late %d\n",
		   atomic_read(&worst->called), atomic_read(&worst->triggered),
		   atomic_read(&worst->rung), atomic_read(&worst->rung_late));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(worst_seen);

static int worst_dev_add(struct vdpa_mgmt_dev *mdev, const char *name,
			 const struct vdpa_dev_set_config *config)
{
	struct vdpa_device *inner;
	struct worst *worst;
	int ret;

	guard(mutex)(&worst_lock);
	inner = worst_inner;
	if (!inner || worst_used || inner->nvqs > WORST_QUEUES)
		return -ENODEV;

	struct vdpa_config_ops *ops __free(kfree) = worst_make_ops(inner->config);

	if (!ops)
		return -ENOMEM;
	worst = vdpa_alloc_device(struct worst, vdev, worst_root, ops, inner->map, inner->ngroups,
				  inner->nas, name, inner->use_va);
	if (IS_ERR(worst))
		return PTR_ERR(worst);
	worst->ops = no_free_ptr(ops);
	worst->inner = inner;
	worst->vdev.vmap = inner->vmap;
	worst->vdev.mdev = mdev;

	ret = worst_start(worst);
	if (ret)
		goto put;
	ret = _vdpa_register_device(&worst->vdev, inner->nvqs);
	if (ret)
		goto stop;
	worst->debugfs = debugfs_create_file(name, 0444, worst_debugfs, worst, &worst_seen_fops);
	worst_used = true;
	return 0;

stop:
	worst_stop(worst);
put:
	put_device(&worst->vdev.dev);
	return ret;
}

static void worst_dev_del(struct vdpa_mgmt_dev *mdev, struct vdpa_device *vdev)
{
	struct worst *worst = to_worst(vdev);

	/* For who goes on calling after its device has lost its driver. */
	get_device(&vdev->dev);
	debugfs_remove(worst->debugfs);
	_vdpa_unregister_device(vdev);
	worst_stop(worst);
	put_device(&vdev->dev);
	guard(mutex)(&worst_lock);
	worst_used = false;
}

static const struct vdpa_mgmtdev_ops worst_mgmt_ops = {
	.dev_add = worst_dev_add,
	.dev_del = worst_dev_del,
};

static struct virtio_device_id worst_ids[] = {
	{ VIRTIO_ID_NET, VIRTIO_DEV_ANY_ID },
	{ VIRTIO_ID_BLOCK, VIRTIO_DEV_ANY_ID },
	{ 0 },
};

static struct vdpa_mgmt_dev worst_mgmt = {
	.ops = &worst_mgmt_ops,
	.id_table = worst_ids,
	.max_supported_vqs = WORST_QUEUES,
};

static int worst_probe(struct vdpa_device *vdev)
{
	/* Its own are added with the lock held. */
	if (vdev->dev.parent == worst_root)
		return -ENODEV;
	if (worst_name && strcmp(worst_name, dev_name(&vdev->dev)))
		return -ENODEV;
	guard(mutex)(&worst_lock);
	if (worst_inner)
		return -ENODEV;
	worst_inner = vdev;
	return 0;
}

static void worst_remove(struct vdpa_device *vdev)
{
	guard(mutex)(&worst_lock);
	WARN_ON(worst_used);
	worst_inner = NULL;
}

static struct vdpa_driver worst_driver = {
	.driver = {
		.name = "vdpa_worst",
		.suppress_bind_attrs = true,
	},
	.probe = worst_probe,
	.remove = worst_remove,
};

static int __init worst_init(void)
{
	int ret;

	worst_debugfs = debugfs_create_dir("vdpa_worst", NULL);
	worst_root = root_device_register("vdpa_worst");
	if (IS_ERR(worst_root)) {
		ret = PTR_ERR(worst_root);
		goto remove;
	}
	worst_mgmt.device = worst_root;
	ret = vdpa_mgmtdev_register(&worst_mgmt);
	if (ret)
		goto unregister;
	ret = vdpa_register_driver(&worst_driver);
	if (ret)
		goto unregister_mgmt;
	return 0;

unregister_mgmt:
	vdpa_mgmtdev_unregister(&worst_mgmt);
unregister:
	root_device_unregister(worst_root);
remove:
	debugfs_remove(worst_debugfs);
	return ret;
}
module_init(worst_init);

static void __exit worst_exit(void)
{
	vdpa_mgmtdev_unregister(&worst_mgmt);
	vdpa_unregister_driver(&worst_driver);
	root_device_unregister(worst_root);
	debugfs_remove(worst_debugfs);
}
module_exit(worst_exit);

MODULE_DESCRIPTION("vDPA device that behaves like the worst of its kind");
MODULE_LICENSE("GPL");
