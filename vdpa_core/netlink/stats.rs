// SPDX-License-Identifier: GPL-2.0

//! `VDPA_CMD_DEV_VSTATS_GET`: a device's own statistics of a virtqueue.
//!
//! The parser of iproute2 depends on the order: the negotiated features and the number of pairs of
//! virtqueues tell it what the virtqueue is for, so they come before its index; the parent adds
//! each value just after its name.

use super::{
    attr,
    cmd,
    config::fill_net_negotiated,
    dev_name,
    id,
    with_dev, //
};
use crate::{
    config::lock_shared,
    device::Registered,
    genl::{
        Do,
        Message,
        Request,
        Shortened, //
    }, //
};
use kernel::prelude::*;
use vdpa::bindings;

/// `vdpa dev vstats show`
pub(super) struct Get;

impl Do for Get {
    fn run(request: &Request<'_>) -> Result {
        let _ = dev_name(request)?;
        let index = request.attrs().u32(attr::DEV_QUEUE_INDEX)?.ok_or_else(|| {
            request.refuse_without(
                attr::DEV_QUEUE_INDEX,
                fmt!("the index of a virtqueue is missing"),
            )
        })?;

        request.reply(cmd::DEV_VSTATS_GET, |msg| {
            with_dev(request, |managed| {
                let dev = managed.dev();

                if dev.device_id() != id::NET {
                    return Err(request.refuse_attr(
                        attr::DEV_NAME,
                        EOPNOTSUPP,
                        fmt!(
                            "\"{}\" has device id {}; statistics are for net (1)",
                            Shortened(dev.name()),
                            dev.device_id()
                        ),
                    ));
                }
                fill(request, msg, dev, check_index(request, dev, index)?)
            })
        })
    }
}

/// Refuses the index of a virtqueue that the device does not have.
fn check_index(request: &Request<'_>, dev: Registered<'_>, index: u32) -> Result<u16> {
    let count = dev
        .nvqs()
        .min(bindings::VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX + 1);

    match u16::try_from(index) {
        Ok(valid) if index < count => Ok(valid),
        _ => Err(request.refuse_attr(
            attr::DEV_QUEUE_INDEX,
            ERANGE,
            fmt!(
                "\"{}\" has no virtqueue {}, only 0 to {}",
                Shortened(dev.name()),
                index,
                count.saturating_sub(1)
            ),
        )),
    }
}

fn fill(request: &Request<'_>, msg: &mut Message<'_>, dev: Registered<'_>, index: u16) -> Result {
    let locked = lock_shared(dev);

    msg.put_c_str(attr::DEV_NAME, dev.name())?;
    msg.put_u32(attr::DEV_ID, dev.device_id())?;
    if !locked.has_vendor_vq_stats() {
        return Err(request.refuse_attr(
            attr::DEV_NAME,
            EOPNOTSUPP,
            fmt!("\"{}\" keeps no statistics", Shortened(dev.name())),
        ));
    }

    let Some(features) = locked.negotiated_features() else {
        return Err(request.refuse(
            EAGAIN,
            fmt!(
                "feature negotiation of \"{}\" is not complete",
                Shortened(dev.name())
            ),
        ));
    };

    fill_net_negotiated(msg, &locked, features)?;
    msg.put_u32(attr::DEV_QUEUE_INDEX, index.into())?;
    locked
        .vendor_vq_stats(index, msg, request.extack())
        .map_err(|error| {
            request.extack().refuse_unless_explained(
                error,
                fmt!(
                    "no statistics of virtqueue {} of \"{}\": error {}",
                    index,
                    Shortened(dev.name()),
                    error.to_errno()
                ),
            )
        })
}
