// SPDX-License-Identifier: GPL-2.0

//! Devices that are implemented in software.
//!
//! A [`Model`] says what a device is and does a round of its work; all else is done for it, in a
//! thread of the device's own: the driver's memory through a [`SoftIommu`](crate::SoftIommu), the
//! virtqueues, notifications and interrupts, suspending, and stopping where a driver breaks a rule.
//!
//! The engine that the virtqueues are served with is the crate [`virtqueue`]; of it there is here
//! what a model needs.

mod batch;
mod device;
mod engine;
mod model;
mod module;
mod queue;

pub use self::{
    batch::{
        Batch,
        Filled,
        Filling,
        Outcome,
        Progress, //
    },
    device::{
        create,
        Device,
        Options,
        Software, //
    },
    model::{
        Model,
        FEATURES, //
    },
    queue::{
        Queue,
        StartError,
        SIZE_MAX, //
    }, //
};

pub use virtqueue::{
    Chain,
    CursorError,
    Fault,
    Reader,
    Refusal,
    Writer, //
};
