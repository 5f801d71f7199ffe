// SPDX-License-Identifier: GPL-2.0

//! What a chain is, by the rules of virtio 1.3, section 2.7.5, and the values that were read.

use virtqueue::{ChainError, Fault, Segment};

use super::memory::{Access, Kind};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// The accesses of one operation, which must be as they are taken.
pub struct Trace<'a>(std::slice::Iter<'a, Access>);

impl<'a> Trace<'a> {
    pub fn new(trace: &'a [Access]) -> Self {
        Self(trace.iter())
    }

    /// The next access must be this one. Returns what was read, or that it was refused.
    #[track_caller]
    pub fn take(&mut self, kind: Kind, addr: u64, len: u64) -> Result<u128, Fault> {
        let access = self.0.next();
        let is = |access: &&Access| (access.kind, access.addr, access.len) == (kind, addr, len);
        let access = access.filter(is).unwrap_or_else(|| {
            panic!("{kind:?} of {len} bytes at {addr:#x} is due, but there is {access:x?}")
        });

        match access.fault {
            Some(fault) => Err(fault),
            None => Ok(access.value.expect("what was read or written")),
        }
    }

    /// The same for 16 bits.
    #[track_caller]
    pub fn load(&mut self, addr: u64) -> Result<u16, Fault> {
        self.take(Kind::Load, addr, 2).map(|value| value as u16)
    }

    /// The same for 16 bits that must be written.
    #[track_caller]
    pub fn store(&mut self, addr: u64, value: u16) -> Result<(), Fault> {
        let written = self.take(Kind::Store, addr, 2)?;

        assert_eq!(written, u128::from(value), "what is stored at {addr:#x}");
        Ok(())
    }

    /// There must be no more.
    #[track_caller]
    pub fn end(&mut self) {
        assert_eq!(self.0.next(), None, "nothing more is due");
    }
}

/// A chain, or the rules that it breaks, or as much of it as could be read.
#[derive(Debug, Default)]
pub struct Walked {
    pub readable: Vec<Segment>,
    pub writable: Vec<Segment>,
    /// Any of these may be complained of; none if the chain is good.
    pub broken: Vec<ChainError>,
    /// Why it could not be followed to its end.
    pub fault: Option<Fault>,
    /// Whether it went through an indirect table.
    pub indirect: bool,
}

impl Walked {
    /// Bytes in the chain.
    pub fn len(&self) -> u64 {
        let segments = self.readable.iter().chain(&self.writable);

        segments.map(|segment| u64::from(segment.len)).sum()
    }

    fn buffer(&mut self, segment: Segment, writable: bool, limit: usize) {
        let Segment { addr, len } = segment;

        if u128::from(addr) + u128::from(len) > 1 << 64 {
            self.broken.push(ChainError::BufferWraps { addr, len });
        }
        if writable {
            self.writable.push(segment);
        } else {
            if !self.writable.is_empty() {
                self.broken.push(ChainError::ReadableAfterWritable);
            }
            self.readable.push(segment);
        }
        if self.len() > 1 << 32 {
            self.broken.push(ChainError::TooLong);
        }
        if self.readable.len() + self.writable.len() > limit {
            self.broken.push(ChainError::TooManySegments { limit });
        }
    }

    /// The rules for an indirect table.
    fn table(&mut self, segment: Segment, flags: u16, negotiated: bool) {
        let Segment { addr, len } = segment;

        if !negotiated {
            self.broken.push(ChainError::IndirectNotNegotiated);
        }
        if self.indirect {
            self.broken.push(ChainError::IndirectNested);
        }
        if flags & NEXT != 0 {
            self.broken.push(ChainError::IndirectNext);
        }
        if len == 0 || len % 16 != 0 || len > 16 << 16 {
            self.broken.push(ChainError::IndirectLength { len });
        }
        if u128::from(addr) + u128::from(len) > 1 << 64 {
            self.broken.push(ChainError::IndirectWraps { addr, len });
        }
        self.indirect = true;
    }
}

/// Follows the chain that starts at `head` of the table at `addr`, with `entries` descriptors,
/// through what the ring has read of it.
pub fn walk(
    trace: &mut Trace<'_>,
    mut addr: u64,
    mut entries: u32,
    head: u16,
    negotiated: bool,
    limit: usize,
) -> Walked {
    let mut walked = Walked::default();
    let mut index = head;
    let mut steps = 0;

    while walked.broken.is_empty() {
        if steps == entries {
            let rule = ChainError::TooManyDescriptors { limit: entries };
            walked.broken.push(rule);
            break;
        }
        if u32::from(index) >= entries {
            walked.broken.push(ChainError::Next {
                next: index,
                limit: entries,
            });
            break;
        }
        steps += 1;
        let descriptor = match trace.take(Kind::Read, addr + 16 * u64::from(index), 16) {
            Ok(descriptor) => descriptor,
            Err(fault) => {
                walked.fault = Some(fault);
                break;
            }
        };
        let segment = Segment {
            addr: descriptor as u64,
            len: (descriptor >> 64) as u32,
        };
        let flags = (descriptor >> 96) as u16;

        if flags & INDIRECT != 0 {
            walked.table(segment, flags, negotiated);
            (addr, entries) = (segment.addr, segment.len / 16);
            (index, steps) = (0, 0);
            continue;
        }
        walked.buffer(segment, flags & WRITE != 0, limit);
        if flags & NEXT == 0 {
            break;
        }
        index = (descriptor >> 112) as u16;
    }
    walked
}
