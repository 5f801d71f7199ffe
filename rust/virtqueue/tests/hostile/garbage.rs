// SPDX-License-Identifier: GPL-2.0

//! What a hostile driver writes: mostly right, so that it gets far.

use checks::random::Random;
use virtqueue::SplitConfig;

use super::memory::{Hostile, LEN, READ, WRITE};
use super::model::Model;

const NEXT: u16 = 1;
const WRITABLE: u16 = 2;
const INDIRECT: u16 = 4;

/// Where the parts of a ring are by default, from the start of the memory.
const AVAIL: u64 = 0x400;
const USED: u64 = 0x600;
/// Where indirect tables and buffers are.
const DATA: u64 = 0x800;
/// Descriptors in the tables there.
const TABLES: u64 = 32;
/// Descriptors of a ring that are worth to be filled.
const FILLED: u16 = 32;

/// An index that a ring starts at: often one that will wrap.
pub fn index(random: &mut Random) -> u16 {
    let any = random.next() as u16;

    random.pick(&[0, 1, 0x7fff, 0x8000, 0xfff0, 0xfffe, 0xffff, any])
}

/// What the driver sets up.
pub fn config(random: &mut Random, memory: &Hostile) -> SplitConfig {
    let base = memory.base.get();
    let any = random.next();
    let within = random.below(LEN as u64);
    let mut config = SplitConfig {
        size: 1 << random.below(6),
        desc: base,
        avail: base + AVAIL,
        used: base + USED,
        event_idx: random.below(2) == 0,
        indirect: random.below(5) != 0,
    };

    if memory.tame.get() {
        return config;
    }
    match random.below(32) {
        0 => config.size = random.pick(&[0, 3, 33, 0x8000, 0x8001, 0x1_0000, any as u32]),
        1 => config.size = 1 << random.below(16),
        // Parts of the ring over each other, or over the buffers.
        2 => config.used = base + (within & !3),
        3 => config.avail = base + (within & !1),
        4 => config.desc = base + (within & !15),
        5 => (config.used, config.avail) = (config.desc, config.desc),
        6 => config.used = config.avail,
        // Nowhere, or nearly so.
        7 => config.used = base + within,
        8 => config.avail = base + within,
        9 => config.desc = base + within,
        10 => config.desc = any & !15,
        11 => config.used = u64::MAX - (within & 0xff & !3) - 3,
        12 => config.avail = u64::MAX - (within & 0xff & !1) - 1,
        _ => (),
    }
    config
}

fn address(random: &mut Random, base: u64) -> u64 {
    let len = LEN as u64;

    match random.below(32) {
        0..=15 => base + DATA + random.below(len - DATA),
        16..=26 => base + DATA + 16 * random.below(TABLES),
        27..=29 => base + random.below(len),
        30 => u64::MAX - random.below(64),
        _ => random.next(),
    }
}

fn len(random: &mut Random) -> u32 {
    let any = random.next() as u32;

    match random.below(32) {
        0..=17 => random.below(64) as u32,
        18..=29 => 16 * random.below(20) as u32,
        30 => random.pick(&[
            0,
            1,
            15,
            17,
            0x10_0000,
            0x10_0010,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_fff0,
            u32::MAX,
        ]),
        _ => any,
    }
}

/// A descriptor, of which `number` says where it is in its table.
fn descriptor(random: &mut Random, memory: &Hostile, number: u64) -> [u8; 16] {
    let base = memory.base.get();
    if memory.tame.get() {
        return tame_descriptor(random, base, number);
    }
    let any = random.next() as u16;
    let writable = if number > random.below(8) {
        WRITABLE
    } else {
        0
    };
    let flags = match random.below(32) {
        0..=16 => NEXT | writable,
        17..=25 => writable,
        26..=30 => INDIRECT | random.pick(&[0, 0, 0, NEXT, WRITABLE]),
        _ => any,
    };
    let next = match random.below(32) {
        0..=25 => number as u16 + 1,
        26..=30 => random.below(20) as u16,
        _ => any,
    };
    let addr = match flags & INDIRECT {
        0 => address(random, base),
        _ if random.below(8) == 0 => address(random, base),
        _ => base + DATA + 16 * random.below(TABLES),
    };
    bytes(addr, len(random), flags, next)
}

/// One that is in order, whatever the size of its table, if those after it are.
fn tame_descriptor(random: &mut Random, base: u64, number: u64) -> [u8; 16] {
    let last = (number + 1).is_power_of_two() || random.below(3) == 0;
    let addr = base + DATA + random.below(0x1000);
    let writable = if number % 4 == 0 { 0 } else { WRITABLE };

    if random.below(16) == 0 {
        // The first one of that is the last.
        return bytes(base + DATA, 64, INDIRECT, 0);
    }
    let flags = if last { writable } else { NEXT | writable };
    bytes(addr, random.below(64) as u32, flags, number as u16 + 1)
}

fn bytes(addr: u64, len: u32, flags: u16, next: u16) -> [u8; 16] {
    let mut bytes = [0; 16];

    bytes[..8].copy_from_slice(&addr.to_le_bytes());
    bytes[8..12].copy_from_slice(&len.to_le_bytes());
    bytes[12..14].copy_from_slice(&flags.to_le_bytes());
    bytes[14..].copy_from_slice(&next.to_le_bytes());
    bytes
}

/// Fills a ring and the tables behind it.
pub fn fill(memory: &Hostile, config: &SplitConfig, index: u16, random: &mut Random) {
    let base = memory.base.get();
    let filled = config.size.min(FILLED.into()).into();

    for (table, entries) in [(config.desc, filled), (base + DATA, TABLES)] {
        for number in 0..entries {
            let bytes = descriptor(random, memory, number);
            memory.poke(table.wrapping_add(16 * number), &bytes);
        }
    }
    for slot in 0..filled {
        head(memory, config, slot, random);
    }
    memory.poke(config.avail.wrapping_add(2), &index.to_le_bytes());
}

fn head(memory: &Hostile, config: &SplitConfig, slot: u64, random: &mut Random) {
    let any = random.next() as u16;
    let head = match random.below(64) {
        0 | 1 if memory.tame.get() => 0,
        0 => any,
        1 => config.size as u16,
        _ => random.below(config.size.min(FILLED.into()).into()) as u16,
    };
    let addr = config.avail.wrapping_add(4 + 2 * slot);

    memory.poke(addr, &head.to_le_bytes());
}

/// The driver goes on, and does harm.
pub fn disturb(memory: &Hostile, model: &Model, random: &mut Random) {
    let config = &model.config;
    let ahead = match random.below(32) {
        0..=2 if memory.tame.get() => 0,
        // Back, or far.
        0 => random.pick(&[u16::MAX, model.size, 0x8000]),
        1 => random.next() as u16,
        2 => model.published.wrapping_sub(model.popped),
        // As far as it may.
        _ => {
            let room = model.size - model.popped.wrapping_sub(model.published);
            random.below(u64::from(room.min(4)) + 1) as u16
        }
    };
    let index = model.popped.wrapping_add(ahead);

    if random.below(8) != 0 {
        memory.poke(config.avail.wrapping_add(2), &index.to_le_bytes());
    }
    match random.below(16) {
        6 if memory.tame.get() => (),
        0..=2 => {
            let number = random.below(model.size.min(FILLED).into());
            let bytes = descriptor(random, memory, number);
            memory.poke(config.desc.wrapping_add(16 * number), &bytes);
        }
        3 => head(memory, config, u64::from(model.popped % model.size), random),
        4..=5 => {
            // What the driver wants to be told of.
            let event = model.used.wrapping_sub(random.below(4) as u16);
            let addr = config.avail + 4 + 2 * u64::from(model.size);
            memory.poke(addr, &event.to_le_bytes());
            memory.poke(config.avail, &(random.below(4) as u16).to_le_bytes());
        }
        6 => {
            let permission = random.pick(&[0, READ, WRITE, READ | WRITE, READ | WRITE]);
            memory.allow(random.index(LEN), permission);
        }
        _ => (),
    }
}
