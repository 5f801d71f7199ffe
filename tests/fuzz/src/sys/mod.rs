// SPDX-License-Identifier: GPL-2.0

//! System calls that the standard library and the crates lack: the only place with `unsafe` code.

#![allow(unsafe_code)]

mod arena;
mod child;
mod kcov;

pub use arena::{Arena, Piece, PIECE, PIECES};
pub use child::{in_child, Errand};
pub use kcov::Kcov;
