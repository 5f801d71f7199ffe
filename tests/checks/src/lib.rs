// SPDX-License-Identifier: GPL-2.0

//! What the programs that test scenarios run have in common: how they are called, how they report,
//! random numbers that a seed reproduces, and allocations that fail.

pub mod arguments;
pub mod faults;
pub mod random;
pub mod report;
