// SPDX-License-Identifier: GPL-2.0

//! From a chain to descriptors, of which some are wrong.

use anyhow::Result;
use checks::random::Random;
use vhost_client::memory::Memory;
use vhost_client::ring::Segment;

use super::arena::{BASE, BUFFERS, TABLES};
use super::garbage;

/// Flags of a descriptor (virtio 1.3, section 2.7.5).
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// Bytes of a descriptor.
const DESC: u64 = 16;

/// A table with more descriptors is long; the longest have so many bytes.
const LONG: usize = 100;
const LONGEST: u64 = 257 * DESC;

/// One descriptor in so many has a field that is not meant.
const WRONG: u64 = 60;

/// A descriptor.
#[derive(Clone, Copy)]
struct Descriptor {
    addr: u64,
    len: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    fn of(segment: &Segment, flags: u16, next: u16) -> Self {
        Self {
            addr: segment.addr,
            len: segment.len,
            flags: flags | if segment.write { WRITE } else { 0 },
            next,
        }
    }

    fn spoil(&mut self, random: &mut Random) {
        match random.below(5) {
            0 => self.addr = garbage::addr(random),
            1 => self.len = garbage::len(random),
            2 => self.flags = garbage::word(random),
            3 => self.flags ^= 1 << random.below(3),
            _ => self.next = garbage::word(random),
        }
    }

    /// Makes it wrong now and then. Long chains are not: hardly any would be whole.
    fn perhaps_wrong(mut self, chain: &[Segment], random: &mut Random) -> Self {
        if chain.len() <= LONG && random.below(WRONG) == 0 {
            self.spoil(random);
        }
        self
    }

    fn write(self, memory: &Memory, at: u64) -> Result<()> {
        let mut bytes = [0; DESC as usize];

        bytes[..8].copy_from_slice(&self.addr.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.flags.to_le_bytes());
        bytes[14..].copy_from_slice(&self.next.to_le_bytes());
        memory.write(at, &bytes)
    }
}

/// Writes a chain into a table of `size` descriptors at `desc`, from `head` on, and perhaps into an
/// indirect table too.
///
/// Where there is not enough room, it goes over its own beginning: a loop.
pub fn place(
    memory: &Memory,
    desc: u64,
    size: u16,
    head: u16,
    chain: &[Segment],
    indirect: bool,
    random: &mut Random,
) -> Result<()> {
    // Nobody has to negotiate what a hostile driver does.
    let through = match indirect {
        true => random.below(2) == 0,
        false => random.below(20) == 0,
    };
    let direct = match through || chain.len() > size.into() {
        true => random.index(chain.len().min(3) + 1),
        false => chain.len(),
    };
    let (direct, others) = chain.split_at(direct);
    let at = |number: usize| (head as usize + number) as u16 % size;
    let count = direct.len() + usize::from(!others.is_empty());

    for (number, segment) in direct.iter().enumerate() {
        let last = number + 1 == count;
        let flags = if last { 0 } else { NEXT };
        let descriptor = Descriptor::of(segment, flags, at(number + 1));

        descriptor
            .perhaps_wrong(chain, random)
            .write(memory, desc + DESC * u64::from(at(number)))?;
    }
    if !others.is_empty() {
        let slot = desc + DESC * u64::from(at(direct.len()));

        table(memory, others, random)?
            .perhaps_wrong(chain, random)
            .write(memory, slot)?;
    }
    Ok(())
}

/// Writes an indirect table, and returns the descriptor that refers to it.
fn table(memory: &Memory, chain: &[Segment], random: &mut Random) -> Result<Descriptor> {
    let len = chain.len() as u64 * DESC;
    let room = (BUFFERS - TABLES).saturating_sub(len);
    // At any address: it need not be aligned. Long ones of each direction have places of their own.
    let place = match chain {
        [.., last] if chain.len() > LONG => {
            let slot = 2 * random.below((room / LONGEST) / 2) + u64::from(last.write);
            BASE + TABLES + slot * LONGEST
        }
        _ => BASE + TABLES + random.below(room + 1),
    };
    let mut descriptor = Descriptor {
        addr: place,
        len: len as u32,
        flags: INDIRECT,
        next: 0,
    };

    for (number, segment) in chain.iter().enumerate() {
        let last = number + 1 == chain.len();
        let flags = if last { 0 } else { NEXT };
        let mut entry = Descriptor::of(segment, flags, number as u16 + 1);

        if chain.len() <= LONG && random.below(100) == 0 {
            // A table in a table, or in itself.
            entry = descriptor;
        }
        entry
            .perhaps_wrong(chain, random)
            .write(memory, place + DESC * number as u64)?;
    }
    match random.below(24) {
        0 => descriptor.len = garbage::len(random),
        1 => descriptor.len -= 1,
        2 => descriptor.len += DESC as u32,
        3 => descriptor.len = 1 << 20,
        4 => descriptor.flags |= NEXT,
        5 => descriptor.flags |= WRITE,
        _ => (),
    }
    Ok(descriptor)
}
