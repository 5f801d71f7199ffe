// SPDX-License-Identifier: GPL-2.0

//! A hostile driver's memory: it changes while it is read, and parts of it are not to be had.

use std::cell::{Cell, RefCell};

use checks::random::Random;
use virtqueue::{Fault, Memory, Refusal};

/// Bytes of memory.
pub const LEN: usize = 0x2000;
/// Permissions are given for so many bytes each.
const PAGE: usize = 0x100;
const PAGES: usize = LEN / PAGE;

/// May be read.
pub const READ: u8 = 1;
/// May be written.
pub const WRITE: u8 = 2;

/// What malice refuses with: seldom for good, or nothing would live long.
const REFUSALS: [Refusal; 8] = [
    Refusal::NotMapped,
    Refusal::NotPresent,
    Refusal::NotMapped,
    Refusal::NotPresent,
    Refusal::NotMapped,
    Refusal::NotPresent,
    Refusal::NotPresent,
    Refusal::NotPermitted,
];

/// The kind of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Load,
    Store,
    Read,
    Write,
    /// The address is the source, the value the destination.
    Copy,
    Barrier,
}

/// An access by the ring and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub kind: Kind,
    pub addr: u64,
    pub len: u64,
    /// What was read or written, the first 16 bytes of it; [`None`] if that was refused.
    pub value: Option<u128>,
    /// Where and why it was refused.
    pub fault: Option<Fault>,
}

/// How a memory misbehaves: chances of 256.
#[derive(Clone, Copy, Debug, Default)]
pub struct Malice {
    /// A read gives something else than what is there.
    pub changes: u8,
    /// An access is refused, whatever the permissions.
    pub refusals: u8,
}

/// Memory from an address on.
pub struct Hostile {
    pub base: Cell<u64>,
    /// Whether the driver keeps to the rules, so that the ring lives for long.
    pub tame: Cell<bool>,
    bytes: RefCell<Vec<u8>>,
    permissions: Cell<[u8; PAGES]>,
    malice: Cell<Malice>,
    random: RefCell<Random>,
    trace: RefCell<Vec<Access>>,
}

impl Default for Hostile {
    fn default() -> Self {
        Self {
            base: Cell::new(0),
            tame: Cell::new(false),
            bytes: RefCell::new(vec![0; LEN]),
            permissions: Cell::new([READ | WRITE; PAGES]),
            malice: Cell::default(),
            random: RefCell::new(Random::new(0)),
            trace: RefCell::default(),
        }
    }
}

impl Hostile {
    /// Begins anew, with any contents.
    pub fn reset(&self, base: u64, malice: Malice, seed: u64) {
        let mut random = Random::new(seed);

        random.fill(&mut self.bytes.borrow_mut());
        self.base.set(base);
        self.permissions.set([READ | WRITE; PAGES]);
        self.malice.set(malice);
        *self.random.borrow_mut() = random;
        self.trace.borrow_mut().clear();
    }

    /// Takes the permissions for a page away, or gives them back.
    pub fn allow(&self, page: usize, permission: u8) {
        let mut permissions = self.permissions.get();

        permissions[page % PAGES] = permission;
        self.permissions.set(permissions);
    }

    /// The permissions for a page.
    pub fn allowed(&self, page: usize) -> u8 {
        self.permissions.get()[page % PAGES]
    }

    /// What the ring did since the last call, in the storage that the caller lends.
    pub fn take_trace(&self, trace: &mut Vec<Access>) {
        trace.clear();
        trace.append(&mut self.trace.borrow_mut());
    }

    /// The driver writes, as far as there is memory.
    pub fn poke(&self, addr: u64, value: &[u8]) {
        let start = usize::try_from(addr.wrapping_sub(self.base.get())).unwrap_or(LEN);
        let mut bytes = self.bytes.borrow_mut();

        for (byte, value) in bytes.iter_mut().skip(start).zip(value) {
            *byte = *value;
        }
    }

    fn chance(&self, of_256: u8) -> bool {
        of_256 != 0 && self.random.borrow_mut().next() as u8 <= of_256
    }

    /// Where in the bytes a range is, if it may be accessed so.
    fn place(&self, addr: u64, len: usize, permission: u8) -> Result<usize, Fault> {
        let start = usize::try_from(addr.wrapping_sub(self.base.get())).unwrap_or(LEN);
        let refused = |refusal| Err(Fault { addr, refusal });

        if start >= LEN || len > LEN - start {
            return refused(Refusal::NotMapped);
        }
        if self.chance(self.malice.get().refusals) {
            return refused(self.random.borrow_mut().pick(&REFUSALS));
        }
        if len == 0 {
            return Ok(start);
        }
        let pages = start / PAGE..=(start + len - 1) / PAGE;
        let permissions = &self.permissions.get()[pages];
        if permissions.contains(&0) {
            refused(Refusal::NotMapped)
        } else if permissions.iter().any(|had| had & permission == 0) {
            refused(Refusal::NotPermitted)
        } else {
            Ok(start)
        }
    }

    /// Notes an access.
    fn note(&self, kind: Kind, addr: u64, len: usize, value: u128, result: Result<(), Fault>) {
        self.trace.borrow_mut().push(Access {
            kind,
            addr,
            len: len as u64,
            value: result.is_ok().then_some(value),
            fault: result.err(),
        });
    }

    /// Reads what is there, or what the driver has put there at this moment.
    fn fetch(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        let start = self.place(addr, buf.len(), READ)?;
        let mut bytes = self.bytes.borrow_mut();
        let there = &mut bytes[start..start + buf.len()];

        if self.chance(self.malice.get().changes) {
            let mut random = self.random.borrow_mut();
            let at = random.index(there.len());

            // A bit, or a byte; and it stays so now and then.
            let bits = random.pick(&[1, 2, 4, 0x80, 0xff]);
            buf.copy_from_slice(there);
            if let Some(byte) = buf.get_mut(at) {
                *byte ^= bits;
                if random.below(2) == 0 {
                    there[at] ^= bits;
                }
            }
        } else {
            buf.copy_from_slice(there);
        }
        Ok(())
    }

    fn put(&self, addr: u64, buf: &[u8]) -> Result<(), Fault> {
        let start = self.place(addr, buf.len(), WRITE)?;

        self.bytes.borrow_mut()[start..start + buf.len()].copy_from_slice(buf);
        Ok(())
    }
}

/// The first 16 bytes as a number.
fn value(buf: &[u8]) -> u128 {
    buf.iter()
        .take(16)
        .rev()
        .fold(0, |value, byte| (value << 8) | u128::from(*byte))
}

impl Memory for Hostile {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Fault> {
        let result = self.fetch(addr, buf);

        self.note(Kind::Read, addr, buf.len(), value(buf), result);
        result
    }

    fn write(&self, addr: u64, buf: &[u8]) -> Result<(), Fault> {
        let result = self.put(addr, buf);

        self.note(Kind::Write, addr, buf.len(), value(buf), result);
        result
    }

    fn load_acquire(&self, addr: u64) -> Result<u16, Fault> {
        let mut buf = [0; 2];
        let result = self.fetch(addr, &mut buf);

        assert!(addr % 2 == 0, "only even addresses: {addr:#x}");
        self.note(Kind::Load, addr, 2, value(&buf), result);
        result.map(|()| u16::from_ne_bytes(buf))
    }

    fn store_release(&self, addr: u64, number: u16) -> Result<(), Fault> {
        let result = self.put(addr, &number.to_ne_bytes());

        assert!(addr % 2 == 0, "only even addresses: {addr:#x}");
        self.note(
            Kind::Store,
            addr,
            2,
            u16::from_le(number.to_le()).into(),
            result,
        );
        result
    }

    fn barrier(&self) {
        self.note(Kind::Barrier, 0, 0, 0, Ok(()));
    }

    fn copy_to(&self, src: u64, other: &Self, dst: u64, len: usize) -> Result<(), Fault> {
        let result = self
            .place(src, len, READ)
            .and(other.place(dst, len, WRITE))
            .map(|_| {
                let mut buf = vec![0; len];
                // Both were checked; only malice could still refuse.
                let _ = self
                    .fetch(src, &mut buf)
                    .and_then(|()| other.put(dst, &buf));
            });

        self.note(Kind::Copy, src, len, dst.into(), result);
        result
    }
}
