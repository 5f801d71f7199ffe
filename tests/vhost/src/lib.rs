// SPDX-License-Identifier: GPL-2.0

//! Drives a vDPA device through `/dev/vhost-vdpa-N` as a virtual machine monitor does.

pub mod blk;
pub mod device;
pub mod iotlb;
pub mod memory;
pub mod net;
pub mod process;
pub mod queue;
pub mod ring;
pub mod session;
pub mod sys;
pub mod traffic;
pub mod uapi;
