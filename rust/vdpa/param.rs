// SPDX-License-Identifier: GPL-2.0

//! Module parameters that users can read in sysfs.
//!
//! Those of the `module!` macro are hidden. C header: `include/linux/moduleparam.h`.

use crate::bindings;
use core::cell::UnsafeCell;
use kernel::prelude::*;

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

/// The type of a parameter.
///
/// # Safety
///
/// The operations must be those for a parameter that is kept in a `Self`, all of whose values are
/// valid.
pub unsafe trait Value: Copy + 'static {
    #[doc(hidden)]
    const FLAGS: u32;
    #[doc(hidden)]
    const SET: Set;
    #[doc(hidden)]
    const GET: Get;
}

type Set = unsafe extern "C" fn(*const c_char, *const bindings::kernel_param) -> c_int;
type Get = unsafe extern "C" fn(*mut c_char, *const bindings::kernel_param) -> c_int;

// SAFETY: These are the operations for an `int`.
unsafe impl Value for i32 {
    const FLAGS: u32 = 0;
    const SET: Set = bindings::param_set_int;
    const GET: Get = bindings::param_get_int;
}

// SAFETY: These are the operations for a `bool`, of which they write 0 and 1 only.
unsafe impl Value for bool {
    const FLAGS: u32 = bindings::KERNEL_PARAM_OPS_FL_NOARG;
    const SET: Set = bindings::param_set_bool;
    const GET: Get = bindings::param_get_bool;
}

/// The value of a parameter that, if it is not given, is that of another module's parameter. See
/// [`module_param!`](crate::module_param).
///
/// # Invariants
///
/// - `value` and `given` are written only before the module's code runs, by the module loader.
/// - `imported` is NULL, or points to a value that does not change.
#[repr(C)]
pub struct ParamOr<T> {
    // First: the operations for a `T` are called with a pointer to this.
    value: UnsafeCell<T>,
    given: UnsafeCell<bool>,
    imported: *const T,
    fallback: T,
}

// SAFETY: By the type invariants nothing is written while there is code to read it.
unsafe impl<T: Sync> Sync for ParamOr<T> {}

impl<T: Value> ParamOr<T> {
    #[doc(hidden)]
    pub const OPS: bindings::kernel_param_ops = bindings::kernel_param_ops {
        flags: T::FLAGS,
        set: Some(Self::set),
        get: Some(Self::get),
        free: None,
    };

    /// # Safety
    ///
    /// `imported` must be NULL, or point to a value that never changes while this module is there.
    #[doc(hidden)]
    pub const unsafe fn new(imported: *const T, fallback: T) -> Self {
        // INVARIANT: By the safety requirement of this function.
        Self {
            value: UnsafeCell::new(fallback),
            given: UnsafeCell::new(false),
            imported,
            fallback,
        }
    }

    /// Returns the value.
    #[inline]
    pub fn value(&self) -> T {
        // SAFETY: By the type invariants. The compiler takes the address of a symbol for anything
        // but NULL, so it must not know that this is one.
        unsafe {
            if *self.given.get() {
                return *self.value.get();
            }
            (&raw const self.imported)
                .read_volatile()
                .as_ref()
                .map_or(self.fallback, |value| *value)
        }
    }

    /// Takes what is given.
    ///
    /// # Safety
    ///
    /// Called by the module loader, with the parameter that a `Self` was made for.
    unsafe extern "C" fn set(val: *const c_char, kp: *const bindings::kernel_param) -> c_int {
        // SAFETY: By the safety requirement of this function; `value` comes first.
        unsafe {
            let ret = T::SET(val, kp);

            if ret == 0 {
                let this: *const Self = (*kp).__bindgen_anon_1.arg.cast_const().cast();

                // INVARIANT: The module's code does not run yet.
                *(*this).given.get() = true;
            }
            ret
        }
    }

    /// Shows the value, whoever has given it.
    ///
    /// # Safety
    ///
    /// Called by sysfs, with the parameter that a `Self` was made for.
    unsafe extern "C" fn get(buffer: *mut c_char, kp: *const bindings::kernel_param) -> c_int {
        // SAFETY: By the safety requirement of this function. The copy has the type and the
        // operations of the original, and is used for the call only.
        unsafe {
            let this: *const Self = (*kp).__bindgen_anon_1.arg.cast_const().cast();
            let mut value = (*this).value();
            let mut shown = kp.read();

            shown.__bindgen_anon_1.arg = (&raw mut value).cast();
            T::GET(buffer, &shown)
        }
    }
}

#[doc(hidden)]
#[repr(transparent)]
pub struct ParamOps(pub bindings::kernel_param_ops);

// SAFETY: It is never changed, and what it points to are functions.
unsafe impl Sync for ParamOps {}

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
/// With `export` other modules can use its value, as a C variable of that name; C code has to say
/// so too (`EXPORT_SYMBOL_GPL()`). In a module that gives such a name, and `or`, in the place of a
/// value, that is the value if none is given; and if there is no such variable, which is no error
/// (the reference is weak), what is behind `or`.
///
/// # Examples
///
/// ```
/// # use kernel::prelude::*;
/// vdpa::module_param!(my_module.depth: int = 3, "How deep");
/// vdpa::module_param!(my_module.verbose: bool = false, "Whether to say more", export my_verbose);
///
/// fn say() {
///     if verbose.value() {
///         pr_info!("{}\n", depth.value());
///     }
/// }
/// # const __LOG_PREFIX: &[u8] = b"my_module\0";
/// # fn main() {}
/// ```
///
/// In another module:
///
/// ```
/// vdpa::module_param!(my_other.verbose: bool = my_verbose or false, "Whether to say more");
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! module_param {
    (
        $module:ident.$name:ident: $type:tt = $imported:ident or $fallback:expr,
        $description:literal
    ) => {
        ::core::arch::global_asm!(concat!(".weak ", stringify!($imported)));

        #[allow(non_upper_case_globals, unsafe_code)]
        pub(crate) static $name: $crate::param::ParamOr<$crate::module_param!(@type $type)> = {
            extern "C" {
                static $imported: $crate::module_param!(@type $type);
            }

            // SAFETY: A parameter that can only be read in sysfs, or nothing. The other module is
            // there for as long as this one, which uses it.
            unsafe { $crate::param::ParamOr::new(&raw const $imported, $fallback) }
        };

        #[allow(unsafe_code)]
        const _: () = {
            static OPS: $crate::param::ParamOps = $crate::param::ParamOps(
                $crate::param::ParamOr::<$crate::module_param!(@type $type)>::OPS,
            );

            $crate::module_param!(
                @ $module, $name, $type, &raw const OPS.0, (&raw const $name).cast_mut().cast(),
                $description
            );
        };
    };
    (
        $module:ident.$name:ident: $type:tt = $default:expr, $description:literal
        $(, export $export:ident)?
    ) => {
        #[allow(non_upper_case_globals, unsafe_code)]
        $(#[export_name = stringify!($export)])?
        pub(crate) static $name: $crate::param::Param<$crate::module_param!(@type $type)> =
            $crate::param::Param::new($default);

        #[allow(unsafe_code)]
        const _: () = {
            $crate::module_param!(
                @ $module, $name, $type, $crate::module_param!(@ops $type), $name.as_ptr().cast(),
                $description
            );
        };
    };
    (@type int) => { i32 };
    (@type bool) => { bool };
    (@ops int) => { &raw const $crate::bindings::param_ops_int };
    (@ops bool) => { &raw const $crate::bindings::param_ops_bool };
    (
        @ $module:ident, $name:ident, $type:tt, $ops:expr, $arg:expr, $description:literal
    ) => {
        const NAME: &str = if cfg!(MODULE) {
            concat!(stringify!($name), "\0")
        } else {
            concat!(stringify!($module), ".", stringify!($name), "\0")
        };
        const TYPE: &str = concat!("parmtype=", stringify!($name), ":", stringify!($type), "\0");
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
                ops: $ops,
                perm: 0o444,
                level: -1,
                flags: 0,
                __bindgen_anon_1: $crate::bindings::kernel_param__bindgen_ty_1 { arg: $arg },
            });
    };
}
