// SPDX-License-Identifier: GPL-2.0
/*
 * The symbols of <linux/vdpa.h> that this module offers to others.
 *
 * They are implemented in Rust; including the header here makes the compiler
 * see the same prototypes as every user, so that MODVERSIONS checksums agree
 * with the C core's.
 */
#include <linux/export.h>
#include <linux/vdpa.h>

EXPORT_SYMBOL_GPL(__vdpa_alloc_device);
EXPORT_SYMBOL_GPL(vdpa_register_device);
EXPORT_SYMBOL_GPL(_vdpa_register_device);
EXPORT_SYMBOL_GPL(vdpa_unregister_device);
EXPORT_SYMBOL_GPL(_vdpa_unregister_device);
EXPORT_SYMBOL_GPL(__vdpa_register_driver);
EXPORT_SYMBOL_GPL(vdpa_unregister_driver);
EXPORT_SYMBOL_GPL(vdpa_mgmtdev_register);
EXPORT_SYMBOL_GPL(vdpa_mgmtdev_unregister);
EXPORT_SYMBOL_GPL(vdpa_get_config);
EXPORT_SYMBOL_GPL(vdpa_set_config);
/* Not _GPL in the C core either. */
EXPORT_SYMBOL(vdpa_set_status);
