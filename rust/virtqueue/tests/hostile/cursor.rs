// SPDX-License-Identifier: GPL-2.0

//! Moving the bytes of a chain: from the first to the last, each once, and no others.

use checks::random::Random;
use virtqueue::{Chain, Fault, Memory, Reader, Segment, Writer};

use super::counts::Counts;
use super::memory::{Access, Hostile, Kind};

/// How far the bytes of some segments were accessed.
struct Position<'s> {
    segments: &'s [Segment],
    /// Bytes of the first segment that are behind.
    offset: u32,
    /// Bytes left in all.
    left: u64,
    /// Bytes that were moved before any was stepped over.
    moved: u64,
    gap: bool,
}

impl<'s> Position<'s> {
    fn new(segments: &'s [Segment]) -> Self {
        Self {
            segments,
            offset: 0,
            left: segments.iter().map(|segment| u64::from(segment.len)).sum(),
            moved: 0,
            gap: false,
        }
    }

    /// Where the next byte is, and how many follow in one piece.
    fn piece(&mut self) -> Option<(u64, u32)> {
        while let Some((first, rest)) = self.segments.split_first() {
            if self.offset < first.len {
                return Some((first.addr + u64::from(self.offset), first.len - self.offset));
            }
            self.segments = rest;
            self.offset = 0;
        }
        None
    }

    /// An access must be to the next bytes, which are behind then if it was allowed.
    fn access(&mut self, addr: u64, len: u64, done: bool) {
        let (next, room) = self.piece().expect("bytes that are left");

        assert!(
            addr == next && len <= room.into(),
            "{len} bytes at {addr:#x} were accessed, but {room} at {next:#x} are next"
        );
        if done {
            self.offset += len as u32;
            self.left -= len;
            if !self.gap {
                self.moved += len;
            }
        }
    }

    fn skip(&mut self, len: u64) -> u64 {
        let len = len.min(self.left);
        let mut todo = len;

        while todo != 0 {
            let (_, room) = self.piece().expect("bytes that are left");
            let step = todo.min(room.into());
            self.offset += step as u32;
            todo -= step;
        }
        self.left -= len;
        self.gap |= len != 0;
        len
    }
}

/// Does something with the bytes of a chain and returns how many the device says that it wrote.
pub fn transfer(
    memory: &Hostile,
    chain: &Chain<'_>,
    random: &mut Random,
    trace: &mut Vec<Access>,
    counts: &mut Counts,
) -> u32 {
    let (mut from, mut to) = (
        Position::new(chain.readable()),
        Position::new(chain.writable()),
    );
    let (mut reader, mut writer) = (chain.reader(memory), chain.writer(memory));

    for _ in 0..random.below(4) {
        let (before_from, before_to) = (from.left, to.left);
        let result = step(&mut reader, &mut writer, &mut from, &mut to, random);

        memory.take_trace(trace);
        let refused = follow(trace, &mut from, &mut to);
        assert_eq!(result.is_err(), refused, "{trace:x?}");
        if let Ok((read, written)) = result {
            assert_eq!(before_from - from.left, read);
            assert_eq!(before_to - to.left, written);
            if !trace.is_empty() {
                counts.more("bytes moved", read + written);
            }
        } else {
            counts.note("buffer refused");
        }
        assert_eq!(reader.remaining(), from.left);
        assert_eq!(writer.remaining(), to.left);
    }

    // As the status of a request is written: at the very end.
    if random.below(4) == 0 {
        if let Some((_, mut last)) = chain.writer(memory).split_tail(1) {
            let mut end = Position::new(chain.writable());
            end.skip(end.left - 1);
            let refused = last.write_array([7]).is_err();
            memory.take_trace(trace);
            assert_eq!(follow(trace, &mut Position::new(&[]), &mut end), refused);
        }
    }
    assert_eq!(u64::from(writer.written()), to.moved.min(u32::MAX.into()));
    writer.written()
}

/// One operation; how many bytes were read and written or stepped over by it, if it was not
/// refused.
fn step<M: Memory>(
    reader: &mut Reader<'_, M>,
    writer: &mut Writer<'_, M>,
    from: &mut Position<'_>,
    to: &mut Position<'_>,
    random: &mut Random,
) -> Result<(u64, u64), Fault> {
    let mut buf = [0x5a; 200];
    let len = random.index(buf.len());
    let part = &mut buf[..len];
    // More than there is now and then, and than there can be.
    let most = random.pick(&[len as u64, u64::MAX, 1 << 32, from.left, to.left]);

    Ok(match random.below(6) {
        0 => (reader.read(part)? as u64, 0),
        1 => (0, writer.write(part)? as u64),
        2 => {
            let len = reader.copy_to(writer, most)?;
            (len, len)
        }
        3 if from.left < len as u64 => {
            assert!(reader.read_exact(part).is_err(), "all or nothing");
            (0, 0)
        }
        3 if to.left < len as u64 => {
            assert!(writer.write_all(part).is_err(), "all or nothing");
            (0, 0)
        }
        4 => {
            // What is stepped over is behind, too, but without an access.
            let skipped = from.skip(most);
            assert_eq!(reader.skip(most), skipped);
            (skipped, 0)
        }
        5 => {
            let skipped = to.skip(most);
            assert_eq!(writer.skip(most), skipped);
            (0, skipped)
        }
        _ => (0, 0),
    })
}

/// Follows what was accessed, and says whether the last access was refused.
fn follow(trace: &[Access], from: &mut Position<'_>, to: &mut Position<'_>) -> bool {
    for (number, access) in trace.iter().enumerate() {
        let done = access.value.is_some();

        match access.kind {
            Kind::Read => from.access(access.addr, access.len, done),
            Kind::Write => to.access(access.addr, access.len, done),
            Kind::Copy => {
                from.access(access.addr, access.len, done);
                // Where it is refused, the destination is not known.
                if let Some(destination) = access.value {
                    to.access(destination as u64, access.len, true);
                }
            }
            Kind::Load | Kind::Store | Kind::Barrier => panic!("{access:x?} is no data"),
        }
        if !done {
            assert_eq!(number + 1, trace.len(), "it goes on after a refusal");
            return true;
        }
    }
    false
}
