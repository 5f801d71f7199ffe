// SPDX-License-Identifier: GPL-2.0

//! Bindings to the C interfaces of vDPA, virtio and the vhost IOTLB.
//!
//! The kernel's own `bindings` crate does not cover these headers. What it does cover (`struct
//! device`, `struct mutex`, …) is taken from it, so that a pointer obtained here can be passed to
//! its functions and the other way round.
//!
//! Drivers use the safe items of this crate instead.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

use kernel::ffi;
use pin_init::{
    MaybeZeroable,
    Zeroable, //
};

pub use kernel::bindings::*;

// SAFETY: The unit is an array of plain integers behind `repr(C)`.
unsafe impl<Storage: Zeroable> Zeroable for __BindgenBitfieldUnit<Storage> {}

include!(concat!(
    env!("VDPA_OBJ"),
    "/rust/vdpa/bindings_generated.rs"
));

// `driver::DriverLayout` asks for it; made by hand so that no other `Default` ends up, as code, in
// each module's copy of this crate.
impl Default for vdpa_driver {
    #[inline]
    fn default() -> Self {
        pin_init::zeroed()
    }
}

// Helpers of helpers.c.
extern "C" {
    pub fn rust_vdpa_device_match_driver_override(
        dev: *mut device,
        drv: *const device_driver,
    ) -> ffi::c_int;
    pub fn rust_vdpa_local_bh_disable();
    pub fn rust_vdpa_local_bh_enable();
    pub fn rust_vdpa_irqs_disabled() -> bool;
    pub fn rust_vdpa_can_use_mm() -> bool;
    pub fn rust_vdpa_phys_to_virt(addr: phys_addr_t) -> *mut ffi::c_void;
    pub fn rust_vdpa_rwsem_assert_held_write(sem: *const rw_semaphore);
    pub fn rust_vdpa_ida_init(ida: *mut ida);
    pub fn rust_vdpa_genlmsg_reply(skb: *mut sk_buff, info: *mut genl_info) -> ffi::c_int;
    pub fn rust_vdpa_get_user_u16(value: *mut u16, from: *const u16) -> ffi::c_int;
    pub fn rust_vdpa_put_user_u16(value: u16, to: *mut u16) -> ffi::c_int;
    pub fn rust_vdpa_ratelimit_init(state: *mut ratelimit_state);
    pub fn rust_vdpa_pagefault_disable();
    pub fn rust_vdpa_pagefault_enable();
    pub fn rust_vdpa_fault_in(
        mm: *mut mm_struct,
        addr: ffi::c_ulong,
        len: usize,
        write: bool,
    ) -> ffi::c_int;
    pub fn rust_vdpa_fault_in_wait(
        mm: *mut mm_struct,
        addr: ffi::c_ulong,
        len: usize,
        write: bool,
    ) -> ffi::c_int;
    pub fn rust_vdpa_interruptible(yes: bool);
    pub fn rust_vdpa_read_user(to: *mut ffi::c_void, from: *const ffi::c_void, len: usize)
        -> usize;
    pub fn rust_vdpa_write_user(
        to: *mut ffi::c_void,
        from: *const ffi::c_void,
        len: usize,
    ) -> usize;
    pub fn rust_vdpa_copy_page(to: *mut ffi::c_void, from: *const ffi::c_void);
    pub fn rust_vdpa_eventfd_signal_allowed() -> bool;
    pub fn rust_vdpa_cond_resched();
    pub fn rust_vdpa_fatal_signal_pending() -> bool;
    pub fn rust_vdpa_rlimit(limit: ffi::c_uint) -> ffi::c_ulong;
    pub fn rust_vdpa_page_to_phys(page: *mut page) -> phys_addr_t;
    pub fn rust_vdpa_sg_set_phys(sg: *mut scatterlist, addr: phys_addr_t, len: ffi::c_uint);
    pub fn rust_vdpa_contiguous_pages(pages: *const *mut page, len: usize) -> usize;
    pub fn rust_vdpa_unpin(addr: phys_addr_t, pages: ffi::c_ulong, dirty: bool);
    pub fn rust_vdpa_vma_set_noncached(vma: *mut vm_area_struct);
    pub fn rust_vdpa_file_is_anonymous(file: *const file) -> bool;
    pub fn rust_vdpa_call_rcu_tasks(head: *mut callback_head, func: rcu_callback_t);
    pub fn rust_vdpa_rcu_barrier_tasks();
    pub fn rust_vdpa_iotlb_add(iotlb: *mut vhost_iotlb, map: *mut vhost_iotlb_map);
    pub fn rust_vdpa_read_phys(to: *mut ffi::c_void, from: phys_addr_t, len: usize);
    pub fn rust_vdpa_write_phys(to: phys_addr_t, from: *const ffi::c_void, len: usize);
    pub fn rust_vdpa_alloc_pages(size: usize, gfp: gfp_t) -> *mut ffi::c_void;
    pub fn rust_vdpa_free_pages(ptr: *mut ffi::c_void, size: usize);
    pub fn rust_vdpa_file_read(
        file: *mut file,
        pos: loff_t,
        buf: *mut ffi::c_void,
        len: usize,
    ) -> ffi::c_int;
    pub fn rust_vdpa_file_write(
        file: *mut file,
        pos: loff_t,
        buf: *const ffi::c_void,
        len: usize,
    ) -> ffi::c_int;
}
