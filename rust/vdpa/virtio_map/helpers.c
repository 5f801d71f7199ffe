// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of kernel drivers, for devices that map it themselves.
 */
#include <linux/highmem.h>
#include <linux/mm.h>

void rust_vdpa_read_phys(void *to, phys_addr_t from, size_t len);
void rust_vdpa_write_phys(phys_addr_t to, const void *from, size_t len);

void rust_vdpa_read_phys(void *to, phys_addr_t from, size_t len)
{
	size_t n;

	for (; len; to += n, from += n, len -= n) {
		n = min_t(size_t, len, PAGE_SIZE - offset_in_page(from));
		memcpy_from_page(to, pfn_to_page(PHYS_PFN(from)),
				 offset_in_page(from), n);
	}
}

void rust_vdpa_write_phys(phys_addr_t to, const void *from, size_t len)
{
	size_t n;

	for (; len; to += n, from += n, len -= n) {
		n = min_t(size_t, len, PAGE_SIZE - offset_in_page(to));
		memcpy_to_page(pfn_to_page(PHYS_PFN(to)), offset_in_page(to),
			       from, n);
	}
}
