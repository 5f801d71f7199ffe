// SPDX-License-Identifier: GPL-2.0

//! The device side of a virtqueue.
//!
//! A driver puts descriptor chains into memory that it shares with a device; the device takes them,
//! moves data, and gives them back. This crate does the device's part, as section 2.7 of the virtio
//! 1.3 specification has it. It knows no kernel type and depends on nothing, so the same source is
//! part of kernel modules and of programs that test it.
//!
//! - [`Memory`] is how it gets at the driver's memory. That is all that has to be provided.
//! - [`Ring`] is what a device does with a virtqueue; [`Split`] is the split format of it.
//! - [`Chain`] is what the driver offers, and [`Token`] the right to give it back.
//! - [`Reader`] and [`Writer`] move the data, and [`Reader::copy_to`] from one chain to another.
//!
//! # What can be relied on
//!
//! The driver is not trusted. Whatever is in its memory, and whenever it changes:
//!
//! - No call panics, and none accesses memory other than the ring and the buffers of a chain.
//! - No call reads more than one available index, one head, as many descriptors as the ring has,
//!   and as many of an indirect table as the device has segments for (and one).
//! - Each value is read once before it is checked and used.
//! - A chain is given back with an outcome, or not at all. What cannot be reached now is left where
//!   it is and tried again; a chain that breaks a rule, and a ring of which no sense can be made,
//!   leave the ring [`Broken`] until it is set up or started anew. Its device tells the driver that
//!   it needs a reset.
//! - Nothing is allocated; where a chain's buffers are stored is up to the caller.
//!
//! # Examples
//!
//! A device with one queue that answers each request with the request's own bytes.
//!
//! ```
//! use virtqueue::{Memory, Ring, RingError, Segment};
//!
//! /// Handles what is in the queue and returns whether the driver is to be interrupted.
//! fn work<R: Ring, M: Memory>(ring: &mut R, memory: &M) -> Result<bool, RingError> {
//!     let mut storage = [Segment::EMPTY; 64];
//!
//!     ring.disable_notifications(memory)?;
//!     loop {
//!         match ring.pop(memory, &mut storage)? {
//!             Some(chain) => {
//!                 let mut writer = chain.writer(memory);
//!                 // The driver may have lied about a buffer; what was written before it counts.
//!                 let _ = chain.reader(memory).copy_to(&mut writer, u64::MAX);
//!                 // One that is to be tried again would keep the token.
//!                 ring.complete(memory, chain.into_token(), writer.written())
//!                     .map_err(|failed| failed.error)?;
//!             }
//!             // The queue is empty. Go on if the driver put something in at the last moment.
//!             None => {
//!                 if !ring.enable_notifications(memory)? {
//!                     break;
//!                 }
//!             }
//!         }
//!     }
//!     // Here once for all chains; a device that is busy for long does it every few chains.
//!     ring.publish(memory)?;
//!     Ok(ring.needs_notification(memory))
//! }
//! #
//! # use core::cell::RefCell;
//! # use virtqueue::{Fault, Refusal, Split, SplitConfig};
//! #
//! # struct Ram(RefCell<Vec<u8>>);
//! #
//! # fn unmapped(addr: u64) -> Fault {
//! #     Fault {
//! #         addr,
//! #         refusal: Refusal::NotMapped,
//! #     }
//! # }
//! #
//! # impl Memory for Ram {
//! #     fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
//! #         let (ram, start) = (self.0.borrow(), addr as usize);
//! #         let part = ram.get(start..start + buf.len()).ok_or(unmapped(addr))?;
//! #         buf.copy_from_slice(part);
//! #         Ok(())
//! #     }
//! #     fn write(&self, addr: u64, buf: &[u8]) -> Result<(), Fault> {
//! #         let (mut ram, start) = (self.0.borrow_mut(), addr as usize);
//! #         let part = ram.get_mut(start..start + buf.len()).ok_or(unmapped(addr))?;
//! #         part.copy_from_slice(buf);
//! #         Ok(())
//! #     }
//! #     fn load_acquire(&self, addr: u64) -> Result<u16, Fault> {
//! #         self.read_array(addr).map(u16::from_ne_bytes)
//! #     }
//! #     fn store_release(&self, addr: u64, value: u16) -> Result<(), Fault> {
//! #         self.write_array(addr, value.to_ne_bytes())
//! #     }
//! #     fn barrier(&self) {}
//! #     fn copy_to(&self, src: u64, memory: &Self, dst: u64, len: usize) -> Result<(), Fault> {
//! #         let mut bytes = vec![0; len];
//! #         self.read(src, &mut bytes)?;
//! #         memory.write(dst, &bytes)
//! #     }
//! # }
//!
//! // A ring of two entries, as a driver leaves it: one request of two buffers.
//! let ram = Ram(RefCell::new(vec![0; 0x400]));
//! let descriptor = |addr: u64, len: u64, flags: u64, next: u64| {
//!     let mut bytes = addr.to_le_bytes().to_vec();
//!     bytes.extend_from_slice(&(len | flags << 32 | next << 48).to_le_bytes());
//!     bytes
//! };
//! ram.write(0x200, b"hello")?;
//! ram.write(0x000, &descriptor(0x200, 5, 1, 1))?; // Readable, goes on with descriptor 1.
//! ram.write(0x010, &descriptor(0x300, 64, 2, 0))?; // Writable, the last.
//! ram.write(0x042, &1u16.to_le_bytes())?; // Available index; the chain's head is descriptor 0.
//!
//! let mut ring = Split::new(&SplitConfig {
//!     size: 2,
//!     desc: 0x000,
//!     avail: 0x040,
//!     used: 0x080,
//!     event_idx: false,
//!     indirect: false,
//! })?;
//! assert!(work(&mut ring, &ram)?);
//!
//! assert_eq!(&ram.read_array(0x300)?, b"hello");
//! assert_eq!(ram.read_array(0x082)?, 1u16.to_le_bytes()); // Used index.
//! assert_eq!(ram.read_array(0x084)?, 0u32.to_le_bytes()); // The chain's head,
//! assert_eq!(ram.read_array(0x088)?, 5u32.to_le_bytes()); // and how much was written.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// The kernel's build says so on the command line.
#![cfg_attr(not(CONFIG_RUST), no_std)]
#![forbid(unsafe_code)]

mod chain;
mod cursor;
mod error;
mod memory;
mod ring;
mod split;
mod walk;

pub use self::{
    chain::{
        Chain,
        Segment,
        Token, //
    },
    cursor::{
        Reader,
        Writer, //
    },
    error::{
        Area,
        Broken,
        ChainError,
        CursorError,
        RingError,
        SetupError,
        Uncompleted, //
    },
    memory::{
        Fault,
        Memory,
        Refusal, //
    },
    ring::Ring,
    split::{
        Split,
        SplitConfig,
        SplitState, //
    }, //
};
