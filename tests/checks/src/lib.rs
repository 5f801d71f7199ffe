// SPDX-License-Identifier: GPL-2.0

//! What the programs that test scenarios run have in common: how they are called, how they report,
//! and random numbers that a seed reproduces.

pub mod arguments;
pub mod random;
pub mod report;
