// SPDX-License-Identifier: GPL-2.0

//! Families.
//!
//! C header: `include/net/genetlink.h`, `struct genl_family`.

use crate::genl::{
    request::{
        doit,
        dumpit,
        Do,
        Dump, //
    },
    Policies, //
};
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque,
    ThisModule, //
};
use vdpa::bindings;

/// What a family does at a command.
#[repr(transparent)]
pub(crate) struct Operation(bindings::genl_ops);

// SAFETY: It is never changed, and what it points to are functions.
unsafe impl Sync for Operation {}

impl Operation {
    /// A command that everybody may give, to do something.
    pub(crate) const fn new<D: Do>(cmd: u8) -> Self {
        Self(bindings::genl_ops {
            cmd,
            doit: Some(doit::<D>),
            ..pin_init::zeroed()
        })
    }

    /// Everybody may ask for a dump too.
    pub(crate) const fn with_dump<D: Dump>(mut self) -> Self {
        self.0.dumpit = Some(dumpit::<D>);
        self
    }

    /// The command needs `CAP_NET_ADMIN`.
    pub(crate) const fn admin(mut self) -> Self {
        self.0.flags |= bindings::GENL_ADMIN_PERM as u8;
        self
    }
}

/// A generic netlink family, in the initial network namespace.
///
/// Its commands are handled concurrently.
#[repr(transparent)]
pub(crate) struct Family(Opaque<bindings::genl_family>);

// SAFETY: The netlink core serialises what it changes; the rest is not changed.
unsafe impl Sync for Family {}

impl Family {
    /// Makes a family; meant for the initialiser of a static.
    ///
    /// `resv_start_op` is the first command for which reserved bits of the header have to be zero.
    ///
    /// Panics, in constant evaluation, if the name is too long or there are too many operations.
    pub(crate) const fn new<const N: usize>(
        name: &CStr,
        version: u32,
        policies: &'static Policies<N>,
        operations: &'static [Operation],
        resv_start_op: u8,
        module: &'static ThisModule,
    ) -> Self {
        // The first bit is `netnsok`, the second `parallel_ops`: requests are not serialised by the
        // global lock of generic netlink. The latter is taken unkillably, and is in the way of all
        // other families.
        let flags = if cfg!(target_endian = "big") {
            1 << 6
        } else {
            1 << 1
        };
        let mut family = bindings::genl_family {
            version,
            maxattr: N as u32 - 1,
            _bitfield_1: kernel::bindings::__BindgenBitfieldUnit::new([flags]),
            n_ops: operations.len() as u8,
            resv_start_op,
            policy: policies.as_ptr(),
            // CAST: `Operation` is a transparent wrapper.
            ops: operations.as_ptr().cast(),
            module: module.as_ptr(),
            ..pin_init::zeroed()
        };
        let name = name.to_bytes_with_nul();
        let mut i = 0;

        assert!(name.len() <= family.name.len() && operations.len() <= u8::MAX as usize);
        while i < name.len() {
            family.name[i] = name[i];
            i += 1;
        }
        Self(Opaque::new(family))
    }

    /// Registers the family: from then on there may be requests.
    pub(crate) fn register(&'static self) -> Result<Registration> {
        // SAFETY: The family is a static, as are its operations and policies.
        to_result(unsafe { bindings::genl_register_family(self.as_raw()) })?;
        Ok(Registration(self))
    }

    /// Wraps the family of a request.
    ///
    /// # Safety
    ///
    /// `ptr` must be a family that was registered as a `Family`, and stay so during `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *const bindings::genl_family) -> &'a Self {
        // SAFETY: `Family` is a transparent wrapper; the rest is the safety requirement of this
        // function.
        unsafe { &*ptr.cast() }
    }

    /// The C structure.
    pub(super) fn as_raw(&self) -> *mut bindings::genl_family {
        self.0.get()
    }

    /// The length of the array of attributes of a request.
    pub(super) fn attr_count(&self) -> usize {
        // SAFETY: The number is never changed.
        unsafe { (*self.as_raw()).maxattr as usize + 1 }
    }
}

/// A registered family. When it is dropped, the family is unregistered, and all requests are done.
///
/// # Invariants
///
/// The family is registered, and nobody else unregisters it.
pub(crate) struct Registration(&'static Family);

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. The operation fails only for a family that is not
        // registered.
        unsafe { bindings::genl_unregister_family(self.0.as_raw()) };
    }
}
