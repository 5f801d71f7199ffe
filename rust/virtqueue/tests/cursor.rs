// SPDX-License-Identifier: GPL-2.0

//! Readers and writers against the flat list of bytes that the buffers of a chain stand for.

mod common;

use common::{
    pattern,
    ram::{unmapped, Access, Kind, Ram},
};
use proptest::prelude::*;
use virtqueue::{CursorError, Fault, Memory, Reader, Segment, Writer};

const BASE: u64 = 0x4000;
const LEN: usize = 0x4000;

/// Segments that do not overlap, in any order, some of them of no bytes.
fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let lens = prop::collection::vec(prop_oneof![2 => 1u32..40, 1 => Just(0u32)], 0..12);
    lens.prop_flat_map(|lens| {
        let mut addr = BASE;
        let segments: Vec<Segment> = lens
            .into_iter()
            .map(|len| {
                let segment = Segment { addr, len };
                addr += u64::from(len) + 3;
                segment
            })
            .collect();
        Just(segments).prop_shuffle()
    })
}

/// The address of each byte, in the order of the chain.
fn addresses(segments: &[Segment]) -> Vec<u64> {
    segments
        .iter()
        .flat_map(|segment| (0..u64::from(segment.len)).map(|i| segment.addr + i))
        .collect()
}

fn filled(seed: u64) -> Ram {
    Ram::from_bytes(BASE, pattern(seed, LEN))
}

fn flat(ram: &Ram, addresses: &[u64]) -> Vec<u8> {
    addresses.iter().map(|&addr| ram.peek(addr, 1)[0]).collect()
}

/// All accesses lie within the segments and are of one kind.
fn check_log(log: &[Access], segments: &[Segment], kind: Kind) {
    for access in log {
        assert_eq!(access.kind, kind);
        assert!(access.within_any(segments), "{access:?}");
    }
}

/// A step of a cursor.
#[derive(Clone, Debug)]
enum Step {
    Some(usize),
    Exact(usize),
    Array4,
    Array16,
    Skip(u64),
    /// Cut after so many bytes, and go on with the first or the second part.
    Split(u64, bool),
    Tail(u64, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![
            (0usize..60).prop_map(Step::Some),
            (0usize..30).prop_map(Step::Exact),
            Just(Step::Array4),
            Just(Step::Array16),
            prop_oneof![0u64..30, Just(u64::MAX)].prop_map(Step::Skip),
            (0u64..200, any::<bool>()).prop_map(|(at, second)| Step::Split(at, second)),
            (0u64..200, any::<bool>()).prop_map(|(at, second)| Step::Tail(at, second)),
        ],
        1..12,
    )
}

/// Where a cut of `len` bytes from the front (or the back) leaves the part that is gone on with.
fn cut(left: &mut std::ops::Range<usize>, at: u64, from_end: bool, second: bool) -> bool {
    let at = usize::try_from(at).unwrap();
    if at > left.len() {
        return false;
    }
    let at = if from_end {
        left.end - at
    } else {
        left.start + at
    };
    *left = if second { at..left.end } else { left.start..at };
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn reader_is_a_flat_list(segments in segments(), steps in steps()) {
        let ram = filled(1);
        let bytes = flat(&ram, &addresses(&segments));
        let mut reader = Reader::new(&ram, &segments);
        let mut left = 0..bytes.len();

        for step in steps {
            prop_assert_eq!(reader.remaining(), left.len() as u64);
            ram.take_log();
            match step {
                Step::Some(len) => {
                    let mut buf = vec![0xee; len];
                    let done = reader.read(&mut buf).unwrap();
                    prop_assert_eq!(done, len.min(left.len()));
                    prop_assert_eq!(&buf[..done], &bytes[left.start..left.start + done]);
                    prop_assert!(buf[done..].iter().all(|&byte| byte == 0xee));
                    left.start += done;
                }
                Step::Exact(len) => {
                    let mut buf = vec![0xee; len];
                    let result = reader.read_exact(&mut buf);
                    if len <= left.len() {
                        prop_assert_eq!(result, Ok(()));
                        prop_assert_eq!(&buf[..], &bytes[left.start..left.start + len]);
                        left.start += len;
                    } else {
                        let remaining = left.len() as u64;
                        let short = CursorError::Short { wanted: len as u64, remaining };
                        prop_assert_eq!(result, Err(short));
                        prop_assert!(ram.take_log().is_empty());
                    }
                }
                Step::Array4 => match reader.read_array::<4>() {
                    Ok(array) => {
                        prop_assert_eq!(&array[..], &bytes[left.start..left.start + 4]);
                        left.start += 4;
                    }
                    Err(_) => prop_assert!(left.len() < 4),
                },
                Step::Array16 => match reader.read_array::<16>() {
                    Ok(array) => {
                        prop_assert_eq!(&array[..], &bytes[left.start..left.start + 16]);
                        left.start += 16;
                    }
                    Err(_) => prop_assert!(left.len() < 16),
                },
                Step::Skip(len) => {
                    let done = reader.skip(len);
                    prop_assert_eq!(done, len.min(left.len() as u64));
                    prop_assert!(ram.take_log().is_empty());
                    left.start += done as usize;
                }
                Step::Split(at, second) => match reader.clone().split_at(at) {
                    Some((head, tail)) => {
                        prop_assert_eq!(head.remaining(), at);
                        prop_assert!(cut(&mut left, at, false, second));
                        reader = if second { tail } else { head };
                    }
                    None => prop_assert!(!cut(&mut left, at, false, second)),
                },
                Step::Tail(at, second) => match reader.clone().split_tail(at) {
                    Some((head, tail)) => {
                        prop_assert_eq!(tail.remaining(), at);
                        prop_assert!(cut(&mut left, at, true, second));
                        reader = if second { tail } else { head };
                    }
                    None => prop_assert!(!cut(&mut left, at, true, second)),
                },
            }
            let log = ram.take_log();
            prop_assert!(log.len() <= segments.len() + 1);
            check_log(&log, &segments, Kind::Read);
        }
    }

    #[test]
    fn writer_is_a_flat_list(segments in segments(), steps in steps()) {
        let ram = filled(2);
        let addresses = addresses(&segments);
        // What the bytes should be in the end.
        let mut bytes = flat(&ram, &addresses);
        let mut writer = Writer::new(&ram, &segments);
        let mut left = 0..bytes.len();
        let input = pattern(3, 64);
        // Where the part that counts began, how much of it counts, and whether it still grows.
        let (mut written, mut gap) = (0, false);

        for step in steps {
            prop_assert_eq!(writer.remaining(), left.len() as u64);
            let mut wrote = 0;
            match step {
                Step::Some(len) => {
                    wrote = writer.write(&input[..len]).unwrap();
                    prop_assert_eq!(wrote, len.min(left.len()));
                }
                Step::Exact(len) => match writer.write_all(&input[..len]) {
                    Ok(()) => wrote = len,
                    Err(CursorError::Short { wanted, remaining }) => {
                        prop_assert_eq!(wanted, len as u64);
                        prop_assert_eq!(remaining, left.len() as u64);
                        prop_assert!(wanted > remaining);
                    }
                    Err(error) => panic!("{error}"),
                },
                Step::Array4 => match writer.write_array::<4>(input[..4].try_into().unwrap()) {
                    Ok(()) => wrote = 4,
                    Err(_) => prop_assert!(left.len() < 4),
                },
                Step::Array16 => match writer.write_array::<16>(input[..16].try_into().unwrap()) {
                    Ok(()) => wrote = 16,
                    Err(_) => prop_assert!(left.len() < 16),
                },
                Step::Skip(len) => {
                    let done = writer.skip(len);
                    prop_assert_eq!(done, len.min(left.len() as u64));
                    left.start += done as usize;
                    gap |= done != 0;
                }
                Step::Split(at, second) if cut(&mut left, at, false, second) => {
                    let (head, tail) = writer.split_at(at).unwrap();
                    writer = if second { tail } else { head };
                    if second {
                        (written, gap) = (0, false);
                    }
                }
                Step::Tail(at, second) if cut(&mut left, at, true, second) => {
                    let (head, tail) = writer.split_tail(at).unwrap();
                    writer = if second { tail } else { head };
                    if second {
                        (written, gap) = (0, false);
                    }
                }
                Step::Split(at, _) | Step::Tail(at, _) => {
                    prop_assert!(writer.split_at(at).is_none());
                    break;
                }
            }
            bytes[left.start..left.start + wrote].copy_from_slice(&input[..wrote]);
            left.start += wrote;
            if !gap {
                written += wrote;
            }
            prop_assert_eq!(writer.written(), written as u32);
        }
        check_log(&ram.take_log(), &segments, Kind::Write);
        // Nothing but these bytes has changed.
        let expected = filled(2);
        for (&addr, byte) in addresses.iter().zip(bytes) {
            expected.poke(addr, &[byte]);
        }
        prop_assert_eq!(ram.peek(BASE, LEN), expected.peek(BASE, LEN));
    }

    #[test]
    fn copies_go_in_the_largest_pieces(
        from in segments(),
        to in segments(),
        skip_from in 0u64..50,
        skip_to in 0u64..50,
        len in prop_oneof![0u64..300, Just(u64::MAX)],
    ) {
        let (source, target) = (filled(4), filled(5));
        let (mut reader, mut writer) = (Reader::new(&source, &from), Writer::new(&target, &to));
        let src = &addresses(&from)[reader.skip(skip_from) as usize..];
        let dst = &addresses(&to)[writer.skip(skip_to) as usize..];
        let count = src.len().min(dst.len()).min(usize::try_from(len).unwrap());
        let (src, dst) = (&src[..count], &dst[..count]);
        // A piece ends where one of the two sides does not go on at the next address.
        let breaks = (1..count).filter(|&i| src[i] != src[i - 1] + 1 || dst[i] != dst[i - 1] + 1);
        let pieces = if count == 0 { 0 } else { 1 + breaks.count() };

        let (before_from, before_to) = (reader.remaining(), writer.remaining());
        prop_assert_eq!(reader.copy_to(&mut writer, len), Ok(count as u64));
        prop_assert_eq!(reader.remaining(), before_from - count as u64);
        prop_assert_eq!(writer.remaining(), before_to - count as u64);
        prop_assert_eq!(source.take_copies(), pieces);
        let log = source.take_log();
        prop_assert_eq!(log.len(), pieces);
        check_log(&log, &from, Kind::Read);
        let log = target.take_log();
        prop_assert_eq!(log.len(), pieces);
        check_log(&log, &to, Kind::Write);

        let expected = filled(5);
        for (&from, &to) in src.iter().zip(dst) {
            expected.poke(to, &source.peek(from, 1));
        }
        prop_assert_eq!(target.peek(BASE, LEN), expected.peek(BASE, LEN));
        prop_assert_eq!(source.peek(BASE, LEN), filled(4).peek(BASE, LEN));
    }
}

#[test]
fn a_fault_leaves_the_cursor_before_the_buffer() {
    let ram = filled(6);
    let segments = [
        Segment { addr: BASE, len: 8 },
        Segment {
            addr: BASE + 16,
            len: 8,
        },
        Segment {
            addr: BASE + 32,
            len: 8,
        },
    ];
    let hole = Some((BASE + 20, 1));
    let fault = unmapped(BASE + 16);

    let mut reader = Reader::new(&ram, &segments);
    ram.set_hole(hole);
    assert_eq!(reader.read(&mut [0; 24]), Err(fault));
    assert_eq!(reader.remaining(), 16);
    assert_eq!(reader.read_array::<8>(), Err(fault.into()));
    assert_eq!(reader.read_array::<12>(), Err(fault.into()));
    assert_eq!(reader.remaining(), 16);
    ram.set_hole(None);
    assert_eq!(
        reader.read_array::<16>().unwrap()[..8],
        ram.peek(BASE + 16, 8)
    );

    let mut writer = Writer::new(&ram, &segments);
    ram.set_hole(hole);
    assert_eq!(writer.write(&[0; 24]), Err(fault));
    assert_eq!((writer.remaining(), writer.written()), (16, 8));
    assert_eq!(writer.write_array([0; 8]), Err(fault.into()));
    assert_eq!(writer.write_all(&[0; 8]), Err(fault.into()));
    assert_eq!((writer.remaining(), writer.written()), (16, 8));
    ram.set_hole(None);

    // Into the hole, and out of it.
    let other = filled(7);
    let (mut reader, mut writer) = (Reader::new(&other, &segments), Writer::new(&ram, &segments));
    ram.set_hole(hole);
    assert_eq!(reader.copy_to(&mut writer, u64::MAX), Err(fault));
    assert_eq!(
        (reader.remaining(), writer.remaining(), writer.written()),
        (16, 16, 8)
    );
    let (mut reader, mut writer) = (Reader::new(&ram, &segments), Writer::new(&other, &segments));
    assert_eq!(reader.copy_to(&mut writer, u64::MAX), Err(fault));
    assert_eq!(
        (reader.remaining(), writer.remaining(), writer.written()),
        (16, 16, 8)
    );
}

#[test]
fn what_does_not_fit_in_the_used_ring_is_understated() {
    /// Accepts everything and keeps nothing.
    struct Sink;

    impl Memory for Sink {
        fn read(&self, _: u64, _: &mut [u8]) -> Result<(), Fault> {
            Ok(())
        }
        fn write(&self, _: u64, _: &[u8]) -> Result<(), Fault> {
            Ok(())
        }
        fn load_acquire(&self, _: u64) -> Result<u16, Fault> {
            Ok(0)
        }
        fn store_release(&self, _: u64, _: u16) -> Result<(), Fault> {
            Ok(())
        }
        fn barrier(&self) {}
        fn copy_to(&self, _: u64, _: &Self, _: u64, _: usize) -> Result<(), Fault> {
            Ok(())
        }
    }

    let half = Segment {
        addr: 0,
        len: 1 << 31,
    };
    let segments = [half, half];
    let (mut reader, mut writer) = (Reader::new(&Sink, &segments), Writer::new(&Sink, &segments));
    assert_eq!(reader.copy_to(&mut writer, u64::MAX), Ok(1 << 32));
    assert_eq!(writer.written(), u32::MAX);
}

#[test]
fn segments_that_no_chain_has_are_harmless() {
    let ram = filled(8);
    // Each wraps, and all together have more than 2^32 bytes.
    let segments = [Segment {
        addr: u64::MAX,
        len: u32::MAX,
    }; 8];
    let mut reader = Reader::new(&ram, &segments);
    assert_eq!(reader.remaining(), 8 * u64::from(u32::MAX));
    assert_eq!(reader.skip(2), 2);
    assert_eq!(reader.read_array::<1>(), Err(unmapped(1).into()));
    assert_eq!(reader.skip(u64::MAX), 8 * u64::from(u32::MAX) - 2);
    assert_eq!(reader.read(&mut [0]), Ok(0));
}
