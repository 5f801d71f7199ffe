// SPDX-License-Identifier: GPL-2.0

//! Generic netlink: a family, its requests, and what is answered.
//!
//! `kernel::net::netlink` has families that only send to multicast groups; this is the other half.
//! All unsafe code of the netlink interface is here, and nothing here knows of vDPA.
//!
//! C header: `include/net/genetlink.h`

mod attr;
mod extack;
mod family;
mod message;
mod request;

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
    family::{
        Family,
        Operation,
        Registration, //
    },
    message::Message,
    request::{
        Do,
        Dump,
        DumpRequest,
        Request, //
    }, //
};
