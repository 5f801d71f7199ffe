// SPDX-License-Identifier: GPL-2.0
/*
 * Test fixture: makes QEMU's virtio-net-pci look like the functions that ifcvf drives.
 *
 * Those have their virtio structures in BARs 0 and 2, and the states of virtqueues in BAR 4, where
 * QEMU's device has all its virtio structures. So while this module is loaded
 *
 *  - what QEMU has in BAR 4 is found in BAR 2, and the capabilities say so;
 *  - BARs 0 and 4 are memory with nothing behind it: reads give 0, writes are lost;
 *  - the ids of the subsystem are those of an N3000.
 *
 * No driver may be bound to the function when the module is loaded and unloaded.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/virtio_pci.h>

#define BAR_QEMU	4
#define BAR_SHOWN	2
#define SUBDEVICE_N3000	0x001a

static char *function;
module_param(function, charp, 0444);
MODULE_PARM_DESC(function, "Domain, bus, device and function, like 0000:00:02.0");

static struct pci_dev *shim_dev;
static struct pci_ops *shim_real_ops, shim_ops;
static u16 shim_subvendor, shim_subdevice;

/* Which bytes of the configuration space name a BAR in which there is a virtio structure. */
static DECLARE_BITMAP(shim_bar_bytes, 256);

static int shim_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *val)
{
	int ret = shim_real_ops->read(bus, devfn, where, size, val);

	if (ret || bus != shim_dev->bus || devfn != shim_dev->devfn || where + size > 256)
		return ret;
	for (int i = 0; i < size; i++) {
		u32 shift = i * 8;

		if (test_bit(where + i, shim_bar_bytes) && ((*val >> shift) & 0xff) == BAR_QEMU)
			*val = (*val & ~(0xffU << shift)) | BAR_SHOWN << shift;
	}
	return 0;
}

static void shim_find_capabilities(void)
{
	u8 pos = pci_find_capability(shim_dev, PCI_CAP_ID_VNDR);

	while (pos) {
		set_bit(pos + offsetof(struct virtio_pci_cap, bar), shim_bar_bytes);
		pos = pci_find_next_capability(shim_dev, pos, PCI_CAP_ID_VNDR);
	}
}

/* Has what is behind one BAR be found behind another. */
static int shim_move_bar(int from, int to)
{
	struct resource *old = &shim_dev->resource[from];
	struct resource *new = &shim_dev->resource[to];
	struct resource *parent = old->parent;

	if (parent)
		release_resource(old);
	*new = DEFINE_RES_NAMED(old->start, resource_size(old), old->name, old->flags);
	memset(old, 0, sizeof(*old));
	return parent ? request_resource(parent, new) : -EINVAL;
}

static int shim_add_bar(int bar)
{
	struct resource *res = &shim_dev->resource[bar];

	*res = DEFINE_RES_NAMED(0, SZ_4K, pci_name(shim_dev), IORESOURCE_MEM | IORESOURCE_SIZEALIGN);
	return pci_bus_alloc_resource(shim_dev->bus, res, SZ_4K, SZ_4K, SZ_1M, 0, NULL, NULL);
}

static void shim_remove_bar(int bar)
{
	struct resource *res = &shim_dev->resource[bar];

	if (res->parent)
		release_resource(res);
	memset(res, 0, sizeof(*res));
}

static void shim_restore_bars(void)
{
	shim_remove_bar(0);
	shim_remove_bar(BAR_QEMU);
	if (shim_move_bar(BAR_SHOWN, BAR_QEMU))
		pci_err(shim_dev, "BAR %d is lost\n", BAR_QEMU);
}

static int shim_replace_bars(void)
{
	int ret = shim_move_bar(BAR_QEMU, BAR_SHOWN);

	if (!ret)
		ret = shim_add_bar(0);
	if (!ret)
		ret = shim_add_bar(BAR_QEMU);
	if (ret)
		shim_restore_bars();
	return ret;
}

static struct pci_dev *shim_get_dev(void)
{
	unsigned int domain, bus, slot, fn;

	if (!function || sscanf(function, "%x:%x:%x.%x", &domain, &bus, &slot, &fn) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, fn));
}

static int __init shim_init(void)
{
	int ret;

	shim_dev = shim_get_dev();
	if (!shim_dev) {
		pr_err("there is no function '%s'\n", function ?: "");
		return -ENODEV;
	}
	if (!pci_resource_len(shim_dev, BAR_QEMU) || pci_resource_len(shim_dev, 0) ||
	    pci_resource_len(shim_dev, BAR_SHOWN) || shim_dev->dev.driver) {
		pci_err(shim_dev, "has other BARs than QEMU's modern virtio-net-pci, or a driver\n");
		ret = -EBUSY;
		goto err_put;
	}
	ret = shim_replace_bars();
	if (ret) {
		pci_err(shim_dev, "BARs cannot be replaced: %d\n", ret);
		goto err_put;
	}
	shim_find_capabilities();
	shim_subvendor = shim_dev->subsystem_vendor;
	shim_subdevice = shim_dev->subsystem_device;
	shim_dev->subsystem_vendor = PCI_VENDOR_ID_INTEL;
	shim_dev->subsystem_device = SUBDEVICE_N3000;
	shim_real_ops = shim_dev->bus->ops;
	shim_ops = *shim_real_ops;
	shim_ops.read = shim_read;
	pci_bus_set_ops(shim_dev->bus, &shim_ops);
	return 0;

err_put:
	pci_dev_put(shim_dev);
	return ret;
}

static void __exit shim_exit(void)
{
	pci_bus_set_ops(shim_dev->bus, shim_real_ops);
	shim_dev->subsystem_vendor = shim_subvendor;
	shim_dev->subsystem_device = shim_subdevice;
	shim_restore_bars();
	pci_dev_put(shim_dev);
}

module_init(shim_init);
module_exit(shim_exit);
MODULE_DESCRIPTION("Test fixture: QEMU's virtio-net-pci as an IFC VF");
MODULE_LICENSE("GPL");
