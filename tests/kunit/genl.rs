// SPDX-License-Identifier: GPL-2.0

//! Attributes of netlink requests, and explanations of refusals.
//!
//! The requests are parsed by the kernel, with policies as `vdpa_core` has them.

#[path = "../../vdpa_core/genl/attr.rs"]
mod attr;
#[expect(dead_code, reason = "requests are parsed without a family")]
#[path = "../../vdpa_core/genl/extack.rs"]
mod extack;

pub(crate) use self::{
    attr::{
        Attrs,
        CheckU16,
        Policies,
        Policy, //
    },
    extack::{
        Extack,
        Shortened, //
    },
};
use kernel::{
    error::to_result,
    prelude::*, //
};
use vdpa::bindings;

/// What explanations begin with.
const MODULE_NAME: &CStr = c"vdpa";

const STRING: u16 = 1;
const BYTES: u16 = 2;
const U16: u16 = 3;
const U32: u16 = 4;
const U64: u16 = 5;
const CHECKED: u16 = 6;
const REJECTED: u16 = 7;
/// The longest string without its NUL.
const STRING_MAX: usize = 8;

/// `NL_VALIDATE_STRICT`: each of the checks there are.
const STRICT: u32 = bindings::netlink_validation_NL_VALIDATE_TRAILING
    | bindings::netlink_validation_NL_VALIDATE_MAXTYPE
    | bindings::netlink_validation_NL_VALIDATE_UNSPEC
    | bindings::netlink_validation_NL_VALIDATE_STRICT_ATTRS
    | bindings::netlink_validation_NL_VALIDATE_NESTED;

/// Accepts numbers from 68 on.
struct From68;

impl CheckU16 for From68 {
    fn check(value: u16, extack: Extack<'_>) -> Result {
        if value < 68 {
            return Err(extack.refuse(ERANGE, fmt!("{} refused: must be 68 or more", value)));
        }
        Ok(())
    }
}

static POLICIES: Policies<{ REJECTED as usize + 1 }> = Policies::new()
    .with(STRING, Policy::c_string(STRING_MAX))
    .with(BYTES, Policy::bytes(6))
    .with(U16, Policy::U16)
    .with(U32, Policy::U32)
    .with(U64, Policy::U64)
    .with(CHECKED, Policy::u16_checked::<From68>());

/// A request, byte by byte.
struct Bytes {
    bytes: [u64; 16],
    len: usize,
}

impl Bytes {
    fn new() -> Self {
        Self {
            bytes: [0; 16],
            len: 0,
        }
    }

    /// Adds an attribute that says of itself to have `len` bytes with its header.
    fn lying(mut self, kind: u16, len: u16, payload: &[u8]) -> Self {
        self.append(&len.to_ne_bytes());
        self.append(&kind.to_ne_bytes());
        self.append(payload);
        self.len = self.len.next_multiple_of(4);
        self
    }

    fn append(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(word) = self.bytes.get_mut(self.len / 8) {
                let mut bytes = word.to_ne_bytes();

                bytes[self.len % 8] = *byte;
                *word = u64::from_ne_bytes(bytes);
                self.len += 1;
            }
        }
    }

    /// Adds an attribute.
    fn with(self, kind: u16, payload: &[u8]) -> Self {
        self.lying(kind, 4 + payload.len() as u16, payload)
    }

    /// Has the kernel parse it, and `f` read what it has found.
    fn parse<R>(&self, f: impl FnOnce(&Attrs<'_>) -> R) -> Result<R> {
        let mut extack = pin_init::zeroed::<bindings::netlink_ext_ack>();

        self.parse_with(&mut extack, f)
    }

    fn parse_with<R>(
        &self,
        extack: &mut bindings::netlink_ext_ack,
        f: impl FnOnce(&Attrs<'_>) -> R,
    ) -> Result<R> {
        const COUNT: usize = REJECTED as usize + 1;
        let mut attrs = [core::ptr::null_mut(); COUNT];

        // SAFETY: There is room for all attributes; the bytes are aligned, and there are as many.
        to_result(unsafe {
            bindings::__nla_parse(
                attrs.as_mut_ptr(),
                REJECTED.into(),
                self.bytes.as_ptr().cast(),
                self.len as c_int,
                POLICIES.as_ptr(),
                STRICT,
                extack,
            )
        })?;
        // SAFETY: These are attributes of the request, which is borrowed.
        Ok(f(&unsafe { Attrs::from_raw(attrs.as_ptr(), COUNT) }))
    }

    fn refused(&self) -> bool {
        self.parse(|_| ()).is_err()
    }
}

/// The explanation, as the user reads it.
fn message(extack: &bindings::netlink_ext_ack) -> &[u8] {
    let len = extack._msg_buf.iter().position(|&byte| byte == 0);

    extack._msg_buf.get(..len.unwrap_or(0)).unwrap_or_default()
}

#[kunit_tests(vdpa_netlink)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() -> Result {
        let request = Bytes::new()
            .with(U16, &0x1234u16.to_ne_bytes())
            .with(U32, &0x1234_5678u32.to_ne_bytes())
            .with(U64, &0x1234_5678_9abc_def0u64.to_ne_bytes())
            .with(BYTES, &[1, 2, 3, 4, 5, 6]);

        request.parse(|attrs| {
            check_eq!(attrs.u16(U16)?, Some(0x1234));
            check_eq!(attrs.u32(U32)?, Some(0x1234_5678));
            check_eq!(attrs.u64(U64)?, Some(0x1234_5678_9abc_def0));
            check_eq!(attrs.bytes(BYTES)?, Some([1, 2, 3, 4, 5, 6]));
            check_eq!(attrs.u16(CHECKED)?, None);
            check_eq!(attrs.c_str(STRING)?, None);
            check!(attrs.has(U16) && !attrs.has(CHECKED));
            // One that there is no place for.
            check!(!attrs.has(REJECTED + 1) && !attrs.has(u16::MAX));
            check_eq!(attrs.u64(u16::MAX)?, None);
            // Of another length.
            check_eq!(attrs.u16(U32), Err(EINVAL));
            check_eq!(attrs.u64(U32), Err(EINVAL));
            check_eq!(attrs.u32(U16), Err(EINVAL));
            check_eq!(attrs.bytes::<5>(BYTES), Err(EINVAL));
            Ok(())
        })?
    }

    #[test]
    fn numbers_that_are_too_short_or_too_long() -> Result {
        for (kind, right) in [(U16, 2), (U32, 4), (U64, 8), (BYTES, 6), (CHECKED, 2)] {
            for len in 0..12 {
                let payload = [0xff; 12];
                let request = Bytes::new().with(kind, payload.get(..len).ok_or(EINVAL)?);

                check_eq!(request.refused(), len != right);
            }
        }
        Ok(())
    }

    #[test]
    fn strings_have_an_end() -> Result {
        for (payload, expected) in [
            (&b"abc\0"[..], Some(c"abc")),
            (b"\0", Some(c"")),
            (b"12345678\0", Some(c"12345678")),
            (b"", None),
            (b"abc", None),
            (b"123456789\0", None),
            (b"123456789", None),
        ] {
            let request = Bytes::new().with(STRING, payload);
            let ret = request.parse(|attrs| {
                check_eq!(attrs.c_str(STRING)?, expected);
                Ok(())
            });

            match expected {
                Some(_) => ret??,
                None => check!(ret.is_err()),
            }
        }
        Ok(())
    }

    #[test]
    fn attributes_that_are_not_accepted() -> Result {
        for kind in [REJECTED, REJECTED + 1, 0, 100, 0x3fff] {
            let request = Bytes::new().with(kind, &[0; 4]);

            check!(request.refused());
        }
        Ok(())
    }

    #[test]
    fn attributes_that_lie_about_their_length() -> Result {
        for len in [0, 1, 3, 9, 0x1000, u16::MAX] {
            let request = Bytes::new().lying(U32, len, &[0; 4]);

            check!(request.refused());
        }
        check!(!Bytes::new().lying(U32, 8, &[0; 4]).refused());
        Ok(())
    }

    #[test]
    fn what_is_checked_is_explained() -> Result {
        for (value, good) in [(0u16, false), (67, false), (68, true), (u16::MAX, true)] {
            let mut extack = pin_init::zeroed::<bindings::netlink_ext_ack>();
            let request = Bytes::new().with(CHECKED, &value.to_ne_bytes());
            let ret = request.parse_with(&mut extack, |attrs| attrs.u16(CHECKED));

            if good {
                check_eq!(ret??, Some(value));
                check!(extack._msg.is_null());
            } else {
                check_eq!(ret.err(), Some(ERANGE));
                check!(message(&extack).ends_with(b" refused: must be 68 or more"));
                check_eq!(extack.bad_attr.cast::<u8>(), request.bytes.as_ptr().cast());
            }
        }
        Ok(())
    }

    #[test]
    fn explanations_fit() -> Result {
        let mut raw = pin_init::zeroed::<bindings::netlink_ext_ack>();
        let line = "0123456789012345678901234567890123456789";

        {
            // SAFETY: It is valid, and nobody else uses it.
            let extack = unsafe { Extack::from_raw(&mut raw) };

            check_eq!(
                extack.refuse(ENOENT, fmt!("{}{}{}", line, line, line)),
                ENOENT
            );
        }
        check_eq!(message(&raw).len(), 79);
        check!(message(&raw).starts_with(b"vdpa: 0123456789"));
        check!(!raw._msg.is_null());

        // Whoever came first has explained it.
        {
            // SAFETY: As above.
            let extack = unsafe { Extack::from_raw(&mut raw) };

            check_eq!(extack.refuse_unless_explained(EIO, fmt!("another")), EIO);
        }
        check_eq!(message(&raw).len(), 79);
        // Nobody wants to know.
        // SAFETY: NULL is.
        let extack = unsafe { Extack::from_raw(core::ptr::null_mut()) };
        check_eq!(extack.refuse(EIO, fmt!("{}", line)), EIO);
        check_eq!(extack.refuse_unless_explained(EIO, fmt!("{}", line)), EIO);
        Ok(())
    }

    #[test]
    fn names_of_users_are_shown_in_part() -> Result {
        for (name, shown) in [
            (c"vdpa0", &b"vdpa: vdpa0"[..]),
            (c"01234567890123456789", b"vdpa: 01234567890123456789"),
            (c"01234567890123456789x", b"vdpa: 01234567890123456789..."),
            (c"a\nb\x1b[31m\xff", b"vdpa: a\\nb\\x1b[31m\\xff"),
        ] {
            let mut raw = pin_init::zeroed::<bindings::netlink_ext_ack>();
            // SAFETY: It is valid, and nobody else uses it.
            let extack = unsafe { Extack::from_raw(&mut raw) };

            extack.refuse(EINVAL, fmt!("{}", Shortened(name)));
            // Longer names are shown by their beginning, and escaped.
            check!(message(&raw) == shown);
        }
        Ok(())
    }
}
