// SPDX-License-Identifier: GPL-2.0

//! Chains as a driver may leave them, and what a device makes of each (virtio 1.3, section 2.7).
//!
//! Nothing but the engine is used here, so that the same vectors run on the host, and in a kernel
//! over memory that is a guest's.

use virtqueue::{Broken, ChainError, Fault, Memory, Ring, RingError, Segment, Split, SplitConfig};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// The number of descriptors.
const SIZE: u16 = 4;
/// Where the memory begins that vectors need, and its length in bytes. What is around it must not
/// be there.
pub const BASE: u64 = 0x1_0000;
/// See [`BASE`].
pub const LEN: usize = 0x4000;

const DESC: u64 = BASE;
const AVAIL: u64 = BASE + 0x100;
const USED: u64 = BASE + 0x200;
const TABLE: u64 = BASE + 0x400;
const DATA: u64 = BASE + 0x1000;
/// The most segments that a vector has room for.
const SEGMENTS: usize = 16;

/// A descriptor: its place in its table, address, length, flags and `next`.
type Descriptor = (u16, u64, u32, u16, u16);

/// What is expected.
pub enum Expect {
    /// A chain with these readable and writable buffers.
    Chain(&'static [Segment], &'static [Segment]),
    /// A chain that breaks this rule, and with it the ring.
    Bad(ChainError),
    /// A chain that cannot be read at this address now, but may be later.
    Later(u64),
    /// A ring that cannot be used any more.
    Broken(Broken),
}

/// A chain, and what is expected.
pub struct Vector {
    /// What is tested.
    pub name: &'static str,
    indirect: bool,
    /// How many segments there is room for.
    segments: usize,
    ring: &'static [Descriptor],
    table: &'static [Descriptor],
    head: u16,
    /// The available index.
    available: u16,
    expect: Expect,
}

/// What most vectors have in common.
const PLAIN: Vector = Vector {
    name: "",
    indirect: true,
    segments: 8,
    ring: &[],
    table: &[],
    head: 0,
    available: 1,
    expect: Expect::Chain(&[], &[]),
};

const fn segment(addr: u64, len: u32) -> Segment {
    Segment { addr, len }
}

/// All of them.
pub const VECTORS: &[Vector] = &[
    Vector {
        name: "one readable buffer, and a next that has no meaning",
        ring: &[(0, DATA, 8, 0, 0xffff)],
        expect: Expect::Chain(&[segment(DATA, 8)], &[]),
        ..PLAIN
    },
    Vector {
        name: "readable, then writable; unknown flags have no meaning",
        ring: &[
            (3, DATA, 8, 0xfff8 | NEXT, 1),
            (1, DATA + 8, 0, WRITE | NEXT, 2),
            (2, DATA + 16, 24, 0xfff8 | WRITE, 0),
        ],
        head: 3,
        expect: Expect::Chain(
            &[segment(DATA, 8)],
            &[segment(DATA + 8, 0), segment(DATA + 16, 24)],
        ),
        ..PLAIN
    },
    Vector {
        name: "as many descriptors as the queue has",
        ring: &[
            (0, DATA, 1, NEXT, 3),
            (3, DATA + 1, 1, NEXT, 2),
            (2, DATA + 2, 1, NEXT, 1),
            (1, DATA + 3, 1, 0, 0),
        ],
        segments: 4,
        expect: Expect::Chain(
            &[
                segment(DATA, 1),
                segment(DATA + 1, 1),
                segment(DATA + 2, 1),
                segment(DATA + 3, 1),
            ],
            &[],
        ),
        ..PLAIN
    },
    Vector {
        name: "a next that is not in the table",
        ring: &[(0, DATA, 8, NEXT, SIZE)],
        expect: Expect::Bad(ChainError::Next { next: 4, limit: 4 }),
        ..PLAIN
    },
    Vector {
        name: "a loop",
        ring: &[(0, DATA, 0, NEXT, 1), (1, DATA, 0, NEXT, 0)],
        segments: 16,
        expect: Expect::Bad(ChainError::TooManyDescriptors { limit: 4 }),
        ..PLAIN
    },
    Vector {
        name: "a descriptor that is its own next",
        ring: &[(0, DATA, 0, NEXT, 0)],
        segments: 16,
        expect: Expect::Bad(ChainError::TooManyDescriptors { limit: 4 }),
        ..PLAIN
    },
    Vector {
        name: "more buffers than there is room for",
        ring: &[
            (0, DATA, 1, NEXT, 1),
            (1, DATA, 1, NEXT, 2),
            (2, DATA, 1, 0, 0),
        ],
        segments: 2,
        expect: Expect::Bad(ChainError::TooManySegments { limit: 2 }),
        ..PLAIN
    },
    Vector {
        name: "a readable buffer after a writable one",
        ring: &[(0, DATA, 0, WRITE | NEXT, 1), (1, DATA, 8, 0, 0)],
        expect: Expect::Bad(ChainError::ReadableAfterWritable),
        ..PLAIN
    },
    Vector {
        name: "a readable buffer after a writable one, in another table",
        ring: &[(0, DATA, 8, WRITE | NEXT, 1), (1, TABLE, 16, INDIRECT, 0)],
        table: &[(0, DATA, 8, 0, 0)],
        expect: Expect::Bad(ChainError::ReadableAfterWritable),
        ..PLAIN
    },
    Vector {
        name: "a buffer that ends with the last address",
        ring: &[(0, u64::MAX, 1, 0, 0)],
        expect: Expect::Chain(&[segment(u64::MAX, 1)], &[]),
        ..PLAIN
    },
    Vector {
        name: "a buffer that runs over the last address",
        ring: &[(0, u64::MAX, 2, 0, 0)],
        expect: Expect::Bad(ChainError::BufferWraps {
            addr: u64::MAX,
            len: 2,
        }),
        ..PLAIN
    },
    Vector {
        name: "2^32 bytes",
        ring: &[(0, DATA, u32::MAX, NEXT, 1), (1, DATA, 1, WRITE, 0)],
        expect: Expect::Chain(&[segment(DATA, u32::MAX)], &[segment(DATA, 1)]),
        ..PLAIN
    },
    Vector {
        name: "more than 2^32 bytes",
        ring: &[(0, DATA, u32::MAX, NEXT, 1), (1, DATA, 2, WRITE, 0)],
        expect: Expect::Bad(ChainError::TooLong),
        ..PLAIN
    },
    Vector {
        name: "an indirect table that was not negotiated",
        indirect: false,
        ring: &[(0, TABLE, 16, INDIRECT, 0)],
        table: &[(0, DATA, 8, 0, 0)],
        expect: Expect::Bad(ChainError::IndirectNotNegotiated),
        ..PLAIN
    },
    Vector {
        name: "an indirect table, whose own write flag has no meaning",
        ring: &[(0, TABLE, 32, INDIRECT | WRITE, 0)],
        table: &[(0, DATA, 8, NEXT, 1), (1, DATA + 8, 8, WRITE, 0)],
        expect: Expect::Chain(&[segment(DATA, 8)], &[segment(DATA + 8, 8)]),
        ..PLAIN
    },
    Vector {
        name: "an indirect table after a descriptor of the ring",
        ring: &[(0, DATA, 1, NEXT, 1), (1, TABLE, 16, INDIRECT, 0)],
        table: &[(0, DATA + 1, 2, WRITE, 0)],
        expect: Expect::Chain(&[segment(DATA, 1)], &[segment(DATA + 1, 2)]),
        ..PLAIN
    },
    Vector {
        name: "an indirect table that is longer than the queue",
        ring: &[(0, TABLE, 96, INDIRECT, 0)],
        table: &[
            (0, DATA, 1, NEXT, 5),
            (5, DATA, 1, NEXT, 4),
            (4, DATA, 1, NEXT, 3),
            (3, DATA, 1, NEXT, 2),
            (2, DATA, 1, NEXT, 1),
            (1, DATA, 1, 0, 0),
        ],
        expect: Expect::Chain(&[segment(DATA, 1); 6], &[]),
        ..PLAIN
    },
    Vector {
        name: "an indirect table in an indirect table",
        ring: &[(0, TABLE, 16, INDIRECT, 0)],
        table: &[(0, TABLE, 16, INDIRECT, 0)],
        expect: Expect::Bad(ChainError::IndirectNested),
        ..PLAIN
    },
    Vector {
        name: "an indirect table that is not the end of its chain",
        ring: &[(0, TABLE, 16, INDIRECT | NEXT, 1), (1, DATA, 8, 0, 0)],
        table: &[(0, DATA, 8, 0, 0)],
        expect: Expect::Bad(ChainError::IndirectNext),
        ..PLAIN
    },
    Vector {
        name: "an indirect table without descriptors",
        ring: &[(0, TABLE, 0, INDIRECT, 0)],
        expect: Expect::Bad(ChainError::IndirectLength { len: 0 }),
        ..PLAIN
    },
    Vector {
        name: "an indirect table that ends in the middle of a descriptor",
        ring: &[(0, TABLE, 24, INDIRECT, 0)],
        expect: Expect::Bad(ChainError::IndirectLength { len: 24 }),
        ..PLAIN
    },
    Vector {
        name: "an indirect table that is longer than next can reach",
        ring: &[(0, TABLE, 0x10_0010, INDIRECT, 0)],
        expect: Expect::Bad(ChainError::IndirectLength { len: 0x10_0010 }),
        ..PLAIN
    },
    Vector {
        name: "an indirect table that runs over the last address",
        ring: &[(0, u64::MAX - 30, 32, INDIRECT, 0)],
        expect: Expect::Bad(ChainError::IndirectWraps {
            addr: u64::MAX - 30,
            len: 32,
        }),
        ..PLAIN
    },
    Vector {
        name: "an indirect table that is not there",
        ring: &[(0, 0x10, 16, INDIRECT, 0)],
        expect: Expect::Later(0x10),
        ..PLAIN
    },
    Vector {
        name: "an indirect table with a loop",
        ring: &[(0, TABLE, 48, INDIRECT, 0)],
        table: &[
            (0, DATA, 0, NEXT, 1),
            (1, DATA, 0, NEXT, 2),
            (2, DATA, 0, NEXT, 1),
        ],
        segments: 16,
        expect: Expect::Bad(ChainError::TooManyDescriptors { limit: 3 }),
        ..PLAIN
    },
    Vector {
        name: "a next that is not in the indirect table",
        ring: &[(0, TABLE, 32, INDIRECT, 0)],
        table: &[(0, DATA, 8, NEXT, 2)],
        expect: Expect::Bad(ChainError::Next { next: 2, limit: 2 }),
        ..PLAIN
    },
    Vector {
        name: "a head that is no descriptor",
        head: SIZE,
        expect: Expect::Broken(Broken::Head { head: 4, size: 4 }),
        ..PLAIN
    },
    Vector {
        name: "more chains than the queue can hold",
        available: SIZE + 1,
        expect: Expect::Broken(Broken::AvailableIndex {
            index: 5,
            next: 0,
            last: 4,
        }),
        ..PLAIN
    },
];

fn words(descriptor: Descriptor) -> [u8; 16] {
    let (_, addr, len, flags, next) = descriptor;
    let high = u64::from(len) | (u64::from(flags) << 32) | (u64::from(next) << 48);
    let both = u128::from(addr) | (u128::from(high) << 64);
    both.to_le_bytes()
}

impl Vector {
    /// Does the driver's part.
    fn place<M: Memory>(&self, memory: &M) -> Result<(), Fault> {
        memory.write(BASE, &[0; 0x800])?;
        for (table, descriptors) in [(DESC, self.ring), (TABLE, self.table)] {
            for &descriptor in descriptors {
                let at = table + 16 * u64::from(descriptor.0);
                memory.write(at, &words(descriptor))?;
            }
        }
        memory.write(AVAIL + 2, &self.available.to_le_bytes())?;
        memory.write(AVAIL + 4, &self.head.to_le_bytes())
    }

    /// Checks that a chain that was taken is given back, and that the driver sees it.
    fn give_back<M: Memory>(
        &self,
        memory: &M,
        ring: &mut Split,
        token: virtqueue::Token,
    ) -> Result<(), &'static str> {
        ring.complete(memory, token, 5).map_err(|_| "complete")?;
        ring.publish(memory).map_err(|_| "publish")?;
        let index = memory.read_array(USED + 2).map_err(|_| "used index")?;
        let element = memory.read_array(USED + 4).map_err(|_| "used element")?;
        if u16::from_le_bytes(index) != 1 {
            return Err("the used index is not 1");
        }
        if u64::from_le_bytes(element) != (5 << 32) | u64::from(self.head) {
            return Err("the used element is another one");
        }
        if !ring.needs_notification(memory) || ring.in_flight() != 0 {
            return Err("the driver is not notified");
        }
        Ok(())
    }

    /// Checks that the chain is where it was, and that the driver sees nothing.
    fn nothing_is_taken<M: Memory>(&self, memory: &M, ring: &Split) -> Result<(), &'static str> {
        if ring.in_flight() != 0 || ring.state().avail_index != 0 {
            return Err("the chain is taken");
        }
        if memory.read_array(USED) != Ok([0u8; 12]) {
            return Err("the driver sees something");
        }
        Ok(())
    }

    /// Runs it over memory that is at [`BASE`]. An error says what is not as expected.
    pub fn run<M: Memory>(&self, memory: &M) -> Result<(), &'static str> {
        let mut storage = [Segment::EMPTY; SEGMENTS];
        let segments = storage
            .get_mut(..self.segments)
            .ok_or("too many segments")?;
        let config = SplitConfig {
            size: SIZE.into(),
            desc: DESC,
            avail: AVAIL,
            used: USED,
            event_idx: false,
            indirect: self.indirect,
        };
        let mut ring = Split::new(&config).map_err(|_| "set-up")?;

        self.place(memory).map_err(|_| "the memory is not there")?;
        match (ring.pop(memory, segments), &self.expect) {
            (Ok(Some(chain)), Expect::Chain(readable, writable)) => {
                if chain.readable() != *readable || chain.writable() != *writable {
                    return Err("other buffers");
                }
                let token = chain.into_token();
                self.give_back(memory, &mut ring, token)
            }
            (Err(RingError::Broken(Broken::Chain { head, error })), Expect::Bad(expected)) => {
                if head != self.head || error != *expected {
                    return Err("another rule");
                }
                self.nothing_is_taken(memory, &ring)
            }
            (Err(RingError::Broken(broken)), Expect::Broken(expected)) => {
                if broken != *expected || ring.broken() != Some(broken) {
                    return Err("broken for another reason");
                }
                self.nothing_is_taken(memory, &ring)
            }
            (Err(RingError::Fault(fault)), Expect::Later(addr)) => {
                if fault.addr != *addr || ring.broken().is_some() {
                    return Err("a fault elsewhere");
                }
                self.nothing_is_taken(memory, &ring)
            }
            (Ok(_), _) => Err("a chain was taken, or there was none"),
            (Err(_), _) => Err("refused, or another kind of refusal"),
        }
    }
}
