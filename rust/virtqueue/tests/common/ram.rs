// SPDX-License-Identifier: GPL-2.0

//! Memory that keeps a record of what is done to it.

use std::cell::{Cell, RefCell};

use virtqueue::{Fault, Memory, Refusal, Segment};

/// What the device did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Read,
    Write,
    Load,
    Store,
    Barrier,
}

/// One access by the device. A copy is a read and a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub kind: Kind,
    pub addr: u64,
    pub len: u64,
}

impl Access {
    pub fn reads(&self) -> bool {
        matches!(self.kind, Kind::Read | Kind::Load)
    }

    pub fn writes(&self) -> bool {
        matches!(self.kind, Kind::Write | Kind::Store)
    }

    pub fn within(&self, addr: u64, len: u64) -> bool {
        self.addr >= addr
            && u128::from(self.addr) + u128::from(self.len) <= u128::from(addr) + u128::from(len)
    }

    pub fn within_any(&self, segments: &[Segment]) -> bool {
        segments
            .iter()
            .any(|segment| self.within(segment.addr, segment.len.into()))
    }
}

/// The refusal of an access where nothing is mapped.
pub fn unmapped(addr: u64) -> Fault {
    Fault {
        addr,
        refusal: Refusal::NotMapped,
    }
}

/// A range that the device cannot access for now.
#[derive(Clone, Copy)]
struct Hole {
    addr: u64,
    len: u64,
    refusal: Refusal,
}

/// Memory from address `base` on. Nothing is mapped outside of it.
pub struct Ram {
    base: u64,
    bytes: RefCell<Vec<u8>>,
    log: RefCell<Vec<Access>>,
    copies: Cell<usize>,
    hole: Cell<Option<Hole>>,
}

impl Ram {
    pub fn new(base: u64, len: usize) -> Self {
        Self::from_bytes(base, vec![0; len])
    }

    pub fn from_bytes(base: u64, bytes: Vec<u8>) -> Self {
        Self {
            base,
            bytes: RefCell::new(bytes),
            log: RefCell::new(Vec::new()),
            copies: Cell::new(0),
            hole: Cell::new(None),
        }
    }

    /// Takes a range away from the device; `None` makes all accessible again.
    pub fn set_hole(&self, hole: Option<(u64, u64)>) {
        let hole = hole.map(|(addr, len)| Hole {
            addr,
            len,
            refusal: Refusal::NotMapped,
        });
        self.hole.set(hole);
    }

    /// Makes the device's accesses to a range be refused for this reason.
    pub fn refuse(&self, addr: u64, len: u64, refusal: Refusal) {
        self.hole.set(Some(Hole { addr, len, refusal }));
    }

    /// Whether an access of the device to part of a range is refused for now.
    pub fn refuses(&self, addr: u64, len: u64) -> bool {
        let hole = self.hole.get();
        hole.is_some_and(|hole| addr < hole.addr + hole.len && hole.addr < addr + len)
    }

    /// How much the device did since the last call of [`Ram::take_log`].
    pub fn accesses(&self) -> usize {
        self.log.borrow().len()
    }

    /// What the device did since the last call.
    pub fn take_log(&self) -> Vec<Access> {
        self.log.take()
    }

    /// How many direct copies the device made since the last call.
    pub fn take_copies(&self) -> usize {
        self.copies.take()
    }

    fn index(&self, addr: u64, len: usize) -> Option<usize> {
        let start = usize::try_from(addr.checked_sub(self.base)?).ok()?;
        let end = start.checked_add(len)?;
        (end <= self.bytes.borrow().len()).then_some(start)
    }

    /// The driver's own reading; an address that is not there is a mistake of the test.
    pub fn peek(&self, addr: u64, len: usize) -> Vec<u8> {
        let start = self
            .index(addr, len)
            .expect("the driver reads its own memory");
        self.bytes.borrow()[start..start + len].to_vec()
    }

    /// The driver's own writing.
    pub fn poke(&self, addr: u64, bytes: &[u8]) {
        let start = self
            .index(addr, bytes.len())
            .expect("the driver writes its own memory");
        self.bytes.borrow_mut()[start..start + bytes.len()].copy_from_slice(bytes);
    }

    pub fn peek16(&self, addr: u64) -> u16 {
        u16::from_le_bytes(self.peek(addr, 2).try_into().unwrap())
    }

    pub fn peek32(&self, addr: u64) -> u32 {
        u32::from_le_bytes(self.peek(addr, 4).try_into().unwrap())
    }

    pub fn poke16(&self, addr: u64, value: u16) {
        self.poke(addr, &value.to_le_bytes());
    }

    /// Writes a `struct virtq_desc`.
    pub fn poke_descriptor(&self, addr: u64, buffer: u64, len: u32, flags: u16, next: u16) {
        self.poke(addr, &buffer.to_le_bytes());
        self.poke(addr + 8, &len.to_le_bytes());
        self.poke(addr + 12, &flags.to_le_bytes());
        self.poke(addr + 14, &next.to_le_bytes());
    }

    /// Records an access of the device and says where it goes.
    fn access(&self, kind: Kind, addr: u64, len: usize) -> Result<usize, Fault> {
        let access = Access {
            kind,
            addr,
            len: len as u64,
        };
        self.log.borrow_mut().push(access);
        match self.hole.get() {
            Some(Hole { refusal, .. }) if self.refuses(addr, len as u64) => {
                Err(Fault { addr, refusal })
            }
            _ => self.index(addr, len).ok_or(unmapped(addr)),
        }
    }
}

impl Memory for Ram {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        assert!(!buf.is_empty(), "an access of no bytes at {addr:#x}");
        let start = self.access(Kind::Read, addr, buf.len())?;
        buf.copy_from_slice(&self.bytes.borrow()[start..start + buf.len()]);
        Ok(())
    }

    fn write(&self, addr: u64, buf: &[u8]) -> Result<(), Fault> {
        assert!(!buf.is_empty(), "an access of no bytes at {addr:#x}");
        let start = self.access(Kind::Write, addr, buf.len())?;
        self.bytes.borrow_mut()[start..start + buf.len()].copy_from_slice(buf);
        Ok(())
    }

    fn load_acquire(&self, addr: u64) -> Result<u16, Fault> {
        assert!(addr % 2 == 0, "a load at the odd address {addr:#x}");
        let start = self.access(Kind::Load, addr, 2)?;
        let bytes = self.bytes.borrow();
        Ok(u16::from_ne_bytes([bytes[start], bytes[start + 1]]))
    }

    fn store_release(&self, addr: u64, value: u16) -> Result<(), Fault> {
        assert!(addr % 2 == 0, "a store at the odd address {addr:#x}");
        let start = self.access(Kind::Store, addr, 2)?;
        self.bytes.borrow_mut()[start..start + 2].copy_from_slice(&value.to_ne_bytes());
        Ok(())
    }

    fn barrier(&self) {
        self.log.borrow_mut().push(Access {
            kind: Kind::Barrier,
            addr: 0,
            len: 0,
        });
    }

    fn copy_to(&self, src: u64, memory: &Self, dst: u64, len: usize) -> Result<(), Fault> {
        assert!(len != 0, "a copy of no bytes");
        let from = self.access(Kind::Read, src, len)?;
        let to = memory.access(Kind::Write, dst, len)?;
        let bytes = self.bytes.borrow()[from..from + len].to_vec();
        memory.bytes.borrow_mut()[to..to + len].copy_from_slice(&bytes);
        self.copies.set(self.copies.get() + 1);
        Ok(())
    }
}
