// SPDX-License-Identifier: GPL-2.0

//! Module parameters that users can read in sysfs.
//!
//! Those of the `module!` macro are hidden. C header: `include/linux/moduleparam.h`.

use crate::bindings;
use core::cell::UnsafeCell;

/// The value of a parameter, which is set when the module is loaded. See
/// [`module_param!`](crate::module_param).
///
/// # Invariants
///
/// It is written only before the module's code runs, by the module loader.
#[repr(transparent)]
pub struct Param<T>(UnsafeCell<T>);

// SAFETY: By the type invariant nothing is written while there is code to read it.
unsafe impl<T: Sync> Sync for Param<T> {}

impl<T: Copy> Param<T> {
    #[doc(hidden)]
    pub const fn new(default: T) -> Self {
        Self(UnsafeCell::new(default))
    }

    /// Returns the value.
    #[inline]
    pub fn value(&self) -> T {
        // SAFETY: By the type invariant.
        unsafe { *self.0.get() }
    }

    #[doc(hidden)]
    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }
}

#[doc(hidden)]
#[repr(transparent)]
pub struct KernelParam(pub bindings::kernel_param);

// SAFETY: The module loader and sysfs serialise their accesses; nobody else has any.
unsafe impl Sync for KernelParam {}

/// Turns a string into the bytes of a `.modinfo` entry.
#[doc(hidden)]
pub const fn modinfo<const N: usize>(text: &str) -> [u8; N] {
    let bytes = text.as_bytes();
    let mut entry = [0; N];
    let mut i = 0;

    while i < N {
        entry[i] = bytes[i];
        i += 1;
    }
    entry
}

/// Declares a parameter of the module, readable in `/sys/module/<module>/parameters` (0444).
///
/// # Examples
///
/// ```ignore
/// vdpa::module_param!(my_module.depth: int = 3, "How deep");
/// vdpa::module_param!(my_module.verbose: bool = false, "Whether to say more");
///
/// if verbose.value() {
///     pr_info!("{}\n", depth.value());
/// }
/// ```
#[macro_export]
macro_rules! module_param {
    ($module:ident.$name:ident: int = $default:expr, $description:literal) => {
        $crate::module_param!(@ $module, $name, i32, "int", param_ops_int, $default, $description);
    };
    ($module:ident.$name:ident: bool = $default:expr, $description:literal) => {
        $crate::module_param!(@ $module, $name, bool, "bool", param_ops_bool, $default, $description);
    };
    (
        @ $module:ident, $name:ident, $type:ty, $c_type:literal, $ops:ident, $default:expr,
        $description:literal
    ) => {
        #[allow(non_upper_case_globals)]
        pub(crate) static $name: $crate::param::Param<$type> =
            $crate::param::Param::new($default);

        #[allow(unsafe_code)]
        const _: () = {
            const NAME: &str = if cfg!(MODULE) {
                concat!(stringify!($name), "\0")
            } else {
                concat!(stringify!($module), ".", stringify!($name), "\0")
            };
            const TYPE: &str = concat!("parmtype=", stringify!($name), ":", $c_type, "\0");
            const TEXT: &str = concat!("parm=", stringify!($name), ":", $description, "\0");

            #[link_section = ".modinfo"]
            #[used]
            static MODINFO_TYPE: [u8; TYPE.len()] = $crate::param::modinfo(TYPE);
            #[link_section = ".modinfo"]
            #[used]
            static MODINFO_TEXT: [u8; TEXT.len()] = $crate::param::modinfo(TEXT);

            #[link_section = "__param"]
            #[used]
            static PARAM: $crate::param::KernelParam =
                $crate::param::KernelParam($crate::bindings::kernel_param {
                    name: ::kernel::str::as_char_ptr_in_const_context(
                        // SAFETY: The string ends with its only zero byte.
                        unsafe {
                            ::core::ffi::CStr::from_bytes_with_nul_unchecked(NAME.as_bytes())
                        },
                    ),
                    #[cfg(MODULE)]
                    mod_: (&raw const $crate::bindings::__this_module).cast_mut(),
                    #[cfg(not(MODULE))]
                    mod_: ::core::ptr::null_mut(),
                    ops: &raw const $crate::bindings::$ops,
                    perm: 0o444,
                    level: -1,
                    flags: 0,
                    __bindgen_anon_1: $crate::bindings::kernel_param__bindgen_ty_1 {
                        arg: $name.as_ptr().cast(),
                    },
                });
        };
    };
}
