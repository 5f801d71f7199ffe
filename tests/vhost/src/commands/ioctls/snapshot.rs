// SPDX-License-Identifier: GPL-2.0

//! All that can be read of a device.

use std::io;

use anyhow::{bail, Result};
use vhost_client::device::{errno, Device};
use vhost_client::sys::Request;
use vhost_client::uapi::*;

/// Things by name, each with its bytes or an errno.
pub type Snapshot = Vec<(String, Result<Vec<u8>, i32>)>;

/// What belongs to the whole device.
const WHOLE: [(&str, Request); 10] = [
    ("id", VHOST_VDPA_GET_DEVICE_ID),
    ("status", VHOST_VDPA_GET_STATUS),
    ("features", VHOST_GET_FEATURES),
    ("backend features", VHOST_GET_BACKEND_FEATURES),
    ("largest ring", VHOST_VDPA_GET_VRING_NUM),
    ("addresses", VHOST_VDPA_GET_IOVA_RANGE),
    ("size of config", VHOST_VDPA_GET_CONFIG_SIZE),
    ("address spaces", VHOST_VDPA_GET_AS_NUM),
    ("virtqueues", VHOST_VDPA_GET_VQS_COUNT),
    ("groups", VHOST_VDPA_GET_GROUP_NUM),
];

/// What belongs to each virtqueue.
const EACH: [(&str, Request); 4] = [
    ("base", VHOST_GET_VRING_BASE),
    ("group", VHOST_VDPA_GET_VRING_GROUP),
    ("descriptor group", VHOST_VDPA_GET_VRING_DESC_GROUP),
    ("size", VHOST_VDPA_GET_VRING_SIZE),
];

fn read(device: &Device, request: Request, mut bytes: Vec<u8>) -> Result<Vec<u8>, i32> {
    device
        .call(request, &mut bytes)
        .map(|_| bytes)
        .map_err(|error: io::Error| errno(&error))
}

/// Reads all.
pub fn take(device: &Device) -> Snapshot {
    let mut snapshot = Snapshot::new();

    for (name, request) in WHOLE {
        let value = read(device, request, vec![0; request.size()]);
        snapshot.push((name.to_owned(), value));
    }
    let size = device.number(VHOST_VDPA_GET_CONFIG_SIZE).unwrap_or(0);
    let config = device
        .config(0, size as usize)
        .map_err(|error| error.downcast_ref::<io::Error>().map_or(0, errno));
    snapshot.push(("config".to_owned(), config));

    // One more than there are.
    let count = device.number(VHOST_VDPA_GET_VQS_COUNT).unwrap_or(0);
    for index in 0..=count {
        for (name, request) in EACH {
            let value = read(device, request, vring_state(index, 0).to_vec());
            snapshot.push((format!("{name} of virtqueue {index}"), value));
        }
    }
    snapshot
}

/// Tells the first difference.
pub fn compare(before: &Snapshot, after: &Snapshot) -> Result<()> {
    for ((name, old), (_, new)) in before.iter().zip(after) {
        if old != new {
            bail!("{name} was {old:?} and is {new:?}");
        }
    }
    Ok(())
}
