// SPDX-License-Identifier: GPL-2.0

//! A device's table of operations, as C code sees it.

use kernel::device::Bound;
use vdpa::{
    bindings,
    Device, //
};

/// Returns the table.
pub(crate) fn table(dev: &Device<Bound>) -> &bindings::vdpa_config_ops {
    // SAFETY: A registered device has a table, which stays for as long as it is registered.
    unsafe { &*(*dev.as_raw()).config }
}

/// Calls an operation of the table. `EOPNOTSUPP` where the table does not have it.
///
/// Pointers among the arguments have to be valid during the call.
macro_rules! op {
    ($dev:expr, $op:ident $(, $arg:expr)* $(,)?) => {
        match $crate::table::table($dev).$op {
            // SAFETY: The device is registered, so that its parent serves the operations. Numbers
            // that it does not have are what is tested; pointers are valid.
            Some(op) => Ok(unsafe { op($dev.as_raw() $(, $arg)*) }),
            None => Err(EOPNOTSUPP),
        }
    };
}
