// SPDX-License-Identifier: GPL-2.0

//! What the programs that test scenarios run have in common: how they are called, how they report,
//! random numbers that a seed reproduces, allocations that fail, results of system calls, and which
//! kernel it is.

pub mod arguments;
pub mod faults;
pub mod kernel;
pub mod random;
pub mod report;
pub mod syscall;
