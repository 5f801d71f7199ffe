// SPDX-License-Identifier: GPL-2.0

//! The vdpa family: its numbers, its requests and its answers.

pub mod dump;
pub mod family;
pub mod schema;
pub mod shape;

pub use family::Family;
