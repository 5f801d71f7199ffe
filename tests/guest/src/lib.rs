// SPDX-License-Identifier: GPL-2.0

//! Generic netlink, the vdpa family, and system calls that the standard library lacks: what
//! programs that test scenarios run use of this one.

pub mod netlink;
pub mod sys;
pub mod vdpa;

use checks::{arguments, random, report};
