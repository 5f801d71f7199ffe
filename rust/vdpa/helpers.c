// SPDX-License-Identifier: GPL-2.0
/*
 * Out-of-line copies of inline functions and macros for Rust.
 *
 * Linked into each module that uses the crate, like the crate's own object, so
 * nothing is exported. The kernel's own helpers (rust/helpers/) are used where
 * they exist.
 */
#include <linux/bottom_half.h>
#include <linux/device.h>
#include <linux/device/bus.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/instrumented.h>
#include <linux/io.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/ratelimit.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/scatterlist.h>
#include <linux/sched/signal.h>
#include <linux/virtio.h>
#include <linux/uaccess.h>
#include <linux/virtio_config.h>
#include <net/genetlink.h>

int rust_vdpa_device_match_driver_override(struct device *dev,
					   const struct device_driver *drv);
void rust_vdpa_local_bh_disable(void);
void rust_vdpa_local_bh_enable(void);
bool rust_vdpa_irqs_disabled(void);
bool rust_vdpa_can_use_mm(void);
void *rust_vdpa_phys_to_virt(phys_addr_t addr);
void rust_vdpa_rwsem_assert_held_write(const struct rw_semaphore *sem);
void rust_vdpa_ida_init(struct ida *ida);
int rust_vdpa_genlmsg_reply(struct sk_buff *skb, struct genl_info *info);
int rust_vdpa_get_user_u16(u16 *value, const u16 __user *from);
int rust_vdpa_put_user_u16(u16 value, u16 __user *to);
size_t rust_vdpa_read_user(void *to, const void __user *from, size_t len);
size_t rust_vdpa_write_user(void __user *to, const void *from, size_t len);
void rust_vdpa_ratelimit_init(struct ratelimit_state *state);
void rust_vdpa_pagefault_disable(void);
void rust_vdpa_pagefault_enable(void);
int rust_vdpa_fault_in(struct mm_struct *mm, unsigned long addr, size_t len,
		       bool write);
int rust_vdpa_fault_in_wait(struct mm_struct *mm, unsigned long addr,
			    size_t len, bool write);
void rust_vdpa_interruptible(bool yes);
void rust_vdpa_copy_page(void *to, const void *from);
bool rust_vdpa_eventfd_signal_allowed(void);
void rust_vdpa_cond_resched(void);
bool rust_vdpa_fatal_signal_pending(void);
unsigned long rust_vdpa_rlimit(unsigned int limit);
phys_addr_t rust_vdpa_page_to_phys(struct page *page);
void rust_vdpa_sg_set_phys(struct scatterlist *sg, phys_addr_t addr,
			   unsigned int len);
size_t rust_vdpa_contiguous_pages(struct page *const *pages, size_t len);
void rust_vdpa_unpin(phys_addr_t addr, unsigned long pages, bool dirty);
void rust_vdpa_vma_set_noncached(struct vm_area_struct *vma);
bool rust_vdpa_file_is_anonymous(const struct file *file);
void rust_vdpa_call_rcu_tasks(struct rcu_head *head, rcu_callback_t func);
void rust_vdpa_rcu_barrier_tasks(void);
void *rust_vdpa_alloc_pages(size_t size, gfp_t gfp);
void rust_vdpa_free_pages(void *ptr, size_t size);

int rust_vdpa_device_match_driver_override(struct device *dev,
					   const struct device_driver *drv)
{
	return device_match_driver_override(dev, drv);
}

void rust_vdpa_local_bh_disable(void)
{
	local_bh_disable();
}

void rust_vdpa_local_bh_enable(void)
{
	local_bh_enable();
}

bool rust_vdpa_irqs_disabled(void)
{
	return irqs_disabled();
}

/* Whether kthread_use_mm() may be called. */
bool rust_vdpa_can_use_mm(void)
{
	return (current->flags & PF_KTHREAD) && !current->mm;
}

/* NULL where no memory of the direct map stands behind @addr. */
void *rust_vdpa_phys_to_virt(phys_addr_t addr)
{
	unsigned long pfn = PHYS_PFN(addr);

	return pfn_valid(pfn) ? phys_to_virt(addr) : NULL;
}

int rust_vdpa_get_user_u16(u16 *value, const u16 __user *from)
{
	return get_user(*value, from);
}

int rust_vdpa_put_user_u16(u16 value, u16 __user *to)
{
	return put_user(value, to);
}

/*
 * Where it can be had, the few bytes of a descriptor, a used element or a
 * status take no copy: that would look at the kernel's side each time, too.
 * The result is the number of bytes that were not reached, the last ones.
 */
size_t rust_vdpa_read_user(void *to, const void __user *from, size_t len)
{
#ifdef CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS
	const u64 __user *from64 = from;
	u64 *to64 = to;

	switch (len) {
	case 16:
		if (get_user(to64[1], from64 + 1))
			return len;
		fallthrough;
	case 8:
		return get_user(to64[0], from64) ? len : 0;
	}
#endif
	return copy_from_user(to, from, len);
}

size_t rust_vdpa_write_user(void __user *to, const void *from, size_t len)
{
#ifdef CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS
	switch (len) {
	case 8:
		return put_user(*(const u64 *)from, (u64 __user *)to) ? len : 0;
	case 1:
		return put_user(*(const u8 *)from, (u8 __user *)to) ? len : 0;
	}
#endif
	return copy_to_user(to, from, len);
}

void rust_vdpa_ratelimit_init(struct ratelimit_state *state)
{
	ratelimit_default_init(state);
}

void rust_vdpa_pagefault_disable(void)
{
	pagefault_disable();
}

void rust_vdpa_pagefault_enable(void)
{
	pagefault_enable();
}

/*
 * Brings memory of a process in as far as that needs nobody else: -EAGAIN where
 * a disk, a file system or userfaultfd has to answer first. Another error if
 * there is no such memory.
 */
int rust_vdpa_fault_in(struct mm_struct *mm, unsigned long addr, size_t len,
		       bool write)
{
	unsigned long pages = DIV_ROUND_UP(offset_in_page(addr) + len, PAGE_SIZE);
	unsigned int flags = FOLL_NOWAIT | (write ? FOLL_WRITE : 0);
	long done;

	if (!mmap_read_trylock(mm))
		return -EAGAIN;
	done = get_user_pages_remote(mm, addr & PAGE_MASK, pages, flags, NULL,
				     NULL);
	mmap_read_unlock(mm);
	if (done < 0)
		return done;
	return done == pages ? 0 : -EAGAIN;
}

/*
 * The same, but waits for who has to be asked: the one above does not even tell
 * userfaultfd. Ends with -EINTR when the current thread is sent SIGKILL.
 */
int rust_vdpa_fault_in_wait(struct mm_struct *mm, unsigned long addr,
			    size_t len, bool write)
{
	unsigned long pages = DIV_ROUND_UP(offset_in_page(addr) + len, PAGE_SIZE);
	int locked = 1;
	long done;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	done = get_user_pages_remote(mm, addr & PAGE_MASK, pages,
				     write ? FOLL_WRITE : 0, NULL, &locked);
	if (locked)
		mmap_read_unlock(mm);
	return done < 0 ? done : 0;
}

/*
 * Whether the current thread of the kernel may be sent SIGKILL, to no end but
 * that of what it waits for. What was sent is forgotten.
 */
void rust_vdpa_interruptible(bool yes)
{
	if (yes)
		allow_kernel_signal(SIGKILL);
	else
		disallow_signal(SIGKILL);
	flush_signals(current);
}

/* A page, all of it. Said to who checks accesses, which does not see into it. */
void rust_vdpa_copy_page(void *to, const void *from)
{
	instrument_memcpy_before(to, from, PAGE_SIZE);
	copy_page(to, (void *)from);
	instrument_memcpy_after(to, from, PAGE_SIZE, 0);
}

void rust_vdpa_rwsem_assert_held_write(const struct rw_semaphore *sem)
{
	rwsem_assert_held_write(sem);
}

void rust_vdpa_ida_init(struct ida *ida)
{
	ida_init(ida);
}

int rust_vdpa_genlmsg_reply(struct sk_buff *skb, struct genl_info *info)
{
	return genlmsg_reply(skb, info);
}

bool rust_vdpa_eventfd_signal_allowed(void)
{
	return eventfd_signal_allowed();
}

void rust_vdpa_cond_resched(void)
{
	cond_resched();
}

bool rust_vdpa_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

unsigned long rust_vdpa_rlimit(unsigned int limit)
{
	return rlimit(limit);
}

/* Memory with a struct page, from the beginning of a page on. */
void rust_vdpa_sg_set_phys(struct scatterlist *sg, phys_addr_t addr,
			   unsigned int len)
{
	sg_set_page(sg, pfn_to_page(PHYS_PFN(addr)), len, 0);
}

phys_addr_t rust_vdpa_page_to_phys(struct page *page)
{
	return PFN_PHYS(page_to_pfn(page));
}

/* How many pages follow each other in physical memory, beginning with the first one. */
size_t rust_vdpa_contiguous_pages(struct page *const *pages, size_t len)
{
	size_t n = 1;

#ifdef CONFIG_SPARSEMEM_VMEMMAP
	/* As in the array of all pages, which takes half the instructions to see. */
	while (n < len && pages[n] == pages[0] + n)
		n++;
#else
	while (n < len && page_to_pfn(pages[n]) == page_to_pfn(pages[0]) + n)
		n++;
#endif
	return n;
}

void rust_vdpa_unpin(phys_addr_t addr, unsigned long pages, bool dirty)
{
	unpin_user_page_range_dirty_lock(pfn_to_page(PHYS_PFN(addr)), pages, dirty);
}

void rust_vdpa_vma_set_noncached(struct vm_area_struct *vma)
{
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
}

/* Whether the file is of no file system. */
bool rust_vdpa_file_is_anonymous(const struct file *file)
{
	return IS_ANON_FILE(file_inode(file));
}

void rust_vdpa_call_rcu_tasks(struct rcu_head *head, rcu_callback_t func)
{
	call_rcu_tasks(head, func);
}

/* Where tasks are not preempted, RCU is all there is to wait for. */
void rust_vdpa_rcu_barrier_tasks(void)
{
#ifdef CONFIG_TASKS_RCU
	rcu_barrier_tasks();
#else
	rcu_barrier();
#endif
}

/* Whole pages that are all zeroes. */
void *rust_vdpa_alloc_pages(size_t size, gfp_t gfp)
{
	return alloc_pages_exact(size, gfp | __GFP_ZERO);
}

void rust_vdpa_free_pages(void *ptr, size_t size)
{
	free_pages_exact(ptr, size);
}
