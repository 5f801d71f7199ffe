// SPDX-License-Identifier: GPL-2.0

//! Requests, and how they are answered.
//!
//! A request is either to *do* something, and answered with one message or none; or it asks for a
//! *dump*, which is answered with as many messages as there are things of a kind. A dump is done in
//! several calls, each of which fills a buffer.

use crate::genl::{
    message::{
        Buffer,
        Header,
        Message, //
    },
    Attrs,
    Extack,
    Family, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    fmt,
    prelude::*, //
};
use vdpa::bindings;

/// How to do what is requested.
pub(crate) trait Do {
    /// Does it. An error is the answer, unless there is [another](Request::reply).
    fn run(request: &Request<'_>) -> Result;
}

/// How to dump.
pub(crate) trait Dump {
    /// Offers all things in turn that have a number larger than [`DumpRequest::last`], in the order
    /// of their numbers, to [`DumpRequest::item`].
    fn run(request: &mut DumpRequest<'_>) -> Result;
}

/// A request to do something.
///
/// # Invariants
///
/// `info` is what the netlink core gives to a `doit` callback, valid during `'a`.
pub(crate) struct Request<'a> {
    info: NonNull<bindings::genl_info>,
    family: &'a Family,
    attrs: Attrs<'a>,
    extack: Extack<'a>,
}

impl<'a> Request<'a> {
    /// The attributes.
    pub(crate) fn attrs(&self) -> &Attrs<'a> {
        &self.attrs
    }

    /// Where to say why the request is refused.
    pub(crate) fn extack(&self) -> Extack<'a> {
        self.extack
    }

    /// Explains a refusal, and returns its error number.
    pub(crate) fn refuse(&self, error: Error, why: fmt::Arguments<'_>) -> Error {
        self.extack.refuse(error, why)
    }

    /// Explains a refusal for which one attribute is the reason, and returns its error number.
    pub(crate) fn refuse_attr(&self, attr: u16, error: Error, why: fmt::Arguments<'_>) -> Error {
        self.extack.blame(self.attrs.raw(attr));
        self.extack.refuse(error, why)
    }

    /// Explains a refusal for want of an attribute, and returns its error number.
    pub(crate) fn refuse_without(&self, attr: u16, why: fmt::Arguments<'_>) -> Error {
        self.extack.miss(attr);
        self.extack.refuse(EINVAL, why)
    }

    /// Answers with a message that `fill` fills.
    ///
    /// If it returns an error, that is the answer, and the message is thrown away. Locks that it
    /// takes are released before the message is sent.
    pub(crate) fn reply(&self, cmd: u8, fill: impl FnOnce(&mut Message<'_>) -> Result) -> Result {
        let info = self.info.as_ptr();
        let mut buffer = Buffer::new()?;
        // SAFETY: By the type invariant.
        let (portid, seq) = unsafe { ((*info).snd_portid, (*info).snd_seq) };
        let mut msg = buffer.message(&Header {
            family: self.family,
            portid,
            seq,
            flags: 0,
            cmd,
        })?;

        fill(&mut msg)?;
        msg.end();
        // SAFETY: By the type invariant; the buffer is given away.
        to_result(unsafe { bindings::rust_vdpa_genlmsg_reply(buffer.into_raw(), info) })
    }
}

/// A request for a dump, in one of the calls that it takes.
///
/// # Invariants
///
/// `cb` and `skb` are what the netlink core gives to a `dumpit` callback, and nobody else uses them
/// during `'a`.
pub(crate) struct DumpRequest<'a> {
    cb: NonNull<bindings::netlink_callback>,
    skb: NonNull<bindings::sk_buff>,
    family: &'a Family,
    /// The number of the last thing that is done with, in this call or an earlier one.
    last: u64,
    _cb: PhantomData<&'a mut bindings::netlink_callback>,
}

impl DumpRequest<'_> {
    /// The number of the last thing that was offered, or 0.
    ///
    /// A thing keeps its number for as long as it is there, and one that comes gets a larger one. So
    /// each thing that stays is shown once, whatever comes and goes between the calls.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Offers a thing, for which `fill` fills a message.
    ///
    /// If `fill` returns an error there is no message. With `EOPNOTSUPP` the dump goes on with the
    /// next thing.
    ///
    /// # Errors
    ///
    /// Those of `fill` otherwise; `EMSGSIZE` if the buffer is full, and this thing is the first to
    /// be sent in the next call. The dump has to be ended then.
    pub(crate) fn item(
        &mut self,
        number: u64,
        cmd: u8,
        fill: impl FnOnce(&mut Message<'_>) -> Result,
    ) -> Result {
        match self.send(cmd, fill) {
            Err(error) if error != EOPNOTSUPP => return Err(error),
            _ => (),
        }
        self.last = number;
        Ok(())
    }

    fn send(&mut self, cmd: u8, fill: impl FnOnce(&mut Message<'_>) -> Result) -> Result {
        // SAFETY: By the type invariants; `self` is borrowed for as long as the message.
        let mut msg = unsafe { Message::new(self.skb, &self.header(cmd)) }?;

        fill(&mut msg)?;
        msg.end();
        Ok(())
    }

    fn header(&self, cmd: u8) -> Header<'_> {
        // SAFETY: By the type invariants. The control block of a netlink request holds a
        // `struct netlink_skb_parms`, and is aligned for it.
        let (seq, params) = unsafe {
            let cb = self.cb.as_ptr();
            let params = (&raw const (*(*cb).skb).cb).cast::<bindings::netlink_skb_parms>();

            ((*(*cb).nlh).nlmsg_seq, params.read_unaligned())
        };

        Header {
            family: self.family,
            portid: params.portid,
            seq,
            flags: bindings::NLM_F_MULTI,
            cmd,
        }
    }

    /// Ends a call: remembers how far it has come, and tells the core whether to call again.
    fn finish(self, result: Result) -> Result<c_int> {
        // SAFETY: By the type invariants. The context is ours.
        let len = unsafe {
            context(self.cb).write_unaligned(self.last);
            (*self.skb.as_ptr()).len
        };

        match result {
            // The end of the dump goes into the same buffer.
            Ok(()) => Ok(0),
            // The buffer is full, so there is more. But a single thing that is too large for a
            // buffer is an error.
            Err(EMSGSIZE) if len > 0 => c_int::try_from(len).map_err(|_| EMSGSIZE),
            Err(error) => Err(error),
        }
    }
}

/// Where a dump keeps a number from one call to the next.
///
/// # Safety
///
/// `cb` must be valid.
unsafe fn context(cb: NonNull<bindings::netlink_callback>) -> *mut u64 {
    // SAFETY: By the safety requirement of this function. The context has room for 48 bytes.
    unsafe { (&raw mut (*cb.as_ptr()).__bindgen_anon_1).cast() }
}

/// A `doit` callback.
///
/// # Safety
///
/// Must be called by the netlink core, for a [`Family`].
pub(super) unsafe extern "C" fn doit<D: Do>(
    _skb: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> c_int {
    from_result(|| {
        let info = NonNull::new(info).ok_or(EINVAL)?;
        // SAFETY: By the safety requirements of this function the attributes have been parsed with
        // the policies of the family.
        let (family, attrs, extack) = unsafe {
            let info = info.as_ref();
            let family = Family::from_raw(info.family);

            (
                family,
                Attrs::from_raw(info.attrs, family.attr_count()),
                Extack::from_raw(info.extack),
            )
        };

        // INVARIANT: By the safety requirements of this function.
        D::run(&Request {
            info,
            family,
            attrs,
            extack,
        })
        .map(|()| 0)
    })
}

/// A `dumpit` callback.
///
/// # Safety
///
/// Must be called by the netlink core, for a [`Family`].
pub(super) unsafe extern "C" fn dumpit<D: Dump>(
    skb: *mut bindings::sk_buff,
    cb: *mut bindings::netlink_callback,
) -> c_int {
    from_result(|| {
        let skb = NonNull::new(skb).ok_or(EINVAL)?;
        let cb = NonNull::new(cb).ok_or(EINVAL)?;
        // SAFETY: By the safety requirements of this function: this is what generic netlink keeps
        // for a dump. The context is ours, and zero in the first call.
        let (family, last) = unsafe {
            let info = cb.as_ref().data.cast::<bindings::genl_dumpit_info>();

            (
                Family::from_raw((*info).info.family),
                context(cb).read_unaligned(),
            )
        };
        // INVARIANT: By the safety requirements of this function.
        let mut request = DumpRequest {
            cb,
            skb,
            family,
            last,
            _cb: PhantomData,
        };
        let result = D::run(&mut request);

        request.finish(result)
    })
}
