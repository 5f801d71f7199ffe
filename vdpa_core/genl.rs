// SPDX-License-Identifier: GPL-2.0

//! Generic netlink: a family, its requests, and what is answered.
//!
//! `kernel::net::netlink` has families that only send to multicast groups; this is the other half.
//!
//! Nothing here knows what the family is about. The unsafe code of the netlink interface is here,
//! with one exception: parents write their statistics to the C structures themselves (see
//! [`Message::as_raw`] and [`Extack::as_raw`]).
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

use crate::Vdpa;
use kernel::{
    prelude::*,
    ModuleMetadata, //
};

/// The name of the module, which explanations begin with.
const MODULE_NAME: &CStr = Vdpa::NAME;
