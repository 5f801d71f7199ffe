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
    /// Offers all things in turn, always in the same order, to [`DumpRequest::item`].
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
    /// How many things have been sent in earlier calls.
    sent: c_long,
    /// How many things have been offered in this call.
    offered: c_long,
    _cb: PhantomData<&'a mut bindings::netlink_callback>,
}

impl DumpRequest<'_> {
    /// Tells which version of the collection is dumped.
    ///
    /// If it is another one than in the last call, things may be missing from the answer, or be in
    /// it twice. The answer says so (`NLM_F_DUMP_INTR`).
    pub(crate) fn set_generation(&mut self, generation: u32) {
        // Zero would mean that there are no versions.
        // SAFETY: By the type invariants.
        unsafe { (*self.cb.as_ptr()).seq = generation.max(1) };
    }

    /// Offers a thing. If it was not sent yet, `fill` fills a message for it.
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
        cmd: u8,
        fill: impl FnOnce(&mut Message<'_>) -> Result,
    ) -> Result {
        if self.offered >= self.sent {
            match self.send(cmd, fill) {
                Err(error) if error != EOPNOTSUPP => return Err(error),
                _ => (),
            }
        }
        self.offered += 1;
        Ok(())
    }

    fn send(&mut self, cmd: u8, fill: impl FnOnce(&mut Message<'_>) -> Result) -> Result {
        // SAFETY: By the type invariants; `self` is borrowed for as long as the message.
        let mut msg = unsafe { Message::new(self.skb, &self.header(cmd)) }?;

        fill(&mut msg)?;
        if self.is_inconsistent() {
            msg.set_flags(bindings::NLM_F_DUMP_INTR);
        }
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

    /// Whether the collection has changed since the last message, as `nl_dump_check_consistent()`
    /// finds out.
    fn is_inconsistent(&mut self) -> bool {
        // SAFETY: By the type invariants.
        let cb = unsafe { self.cb.as_mut() };
        let changed = cb.prev_seq != 0 && cb.prev_seq != cb.seq;

        cb.prev_seq = cb.seq;
        changed
    }

    /// Ends a call: remembers how far it has come, and tells the core whether to call again.
    fn finish(self, result: Result) -> Result<c_int> {
        // SAFETY: By the type invariants. The arguments are ours.
        let len = unsafe {
            (*self.cb.as_ptr()).__bindgen_anon_1.args[0] = self.offered;
            (*self.skb.as_ptr()).len
        };

        match result {
            // The end of the dump goes into the same buffer. With another call, for nothing but the
            // end, a change in between would spoil a dump that is complete.
            Ok(()) => Ok(0),
            // The buffer is full, so there is more. But a single thing that is too large for a
            // buffer is an error.
            Err(EMSGSIZE) if len > 0 => c_int::try_from(len).map_err(|_| EMSGSIZE),
            Err(error) => Err(error),
        }
    }
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
        // for a dump. The arguments are ours, and zero in the first call.
        let (family, sent) = unsafe {
            let cb = cb.as_ref();
            let info = cb.data.cast::<bindings::genl_dumpit_info>();

            (
                Family::from_raw((*info).info.family),
                cb.__bindgen_anon_1.args[0],
            )
        };
        // INVARIANT: By the safety requirements of this function.
        let mut request = DumpRequest {
            cb,
            skb,
            family,
            sent,
            offered: 0,
            _cb: PhantomData,
        };
        let result = D::run(&mut request);

        request.finish(result)
    })
}
