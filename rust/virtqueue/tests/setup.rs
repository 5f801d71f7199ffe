// SPDX-License-Identifier: GPL-2.0

//! What a driver may ask for when it sets a ring up (virtio 1.3, section 2.7).

mod common;

use common::{fixture::*, ram::Ram};
use virtqueue::{Area, Ring, Segment, SetupError, Split, SplitConfig, SplitState};

#[test]
fn size_is_a_power_of_two_up_to_32768() {
    for size in 0..=0x2_0000 {
        let config = SplitConfig { size, ..CONFIG };
        let expected = matches!(
            size,
            1 | 2
                | 4
                | 8
                | 16
                | 32
                | 64
                | 128
                | 256
                | 512
                | 1024
                | 2048
                | 4096
                | 8192
                | 16384
                | 32768
        );
        match Split::new(&config) {
            Ok(ring) => assert!(expected && u32::from(ring.size()) == size, "{size}"),
            Err(error) => assert!(!expected && error == SetupError::Size(size), "{size}"),
        }
    }
    let config = SplitConfig {
        size: u32::MAX,
        ..CONFIG
    };
    assert_eq!(Split::new(&config).unwrap_err(), SetupError::Size(u32::MAX));
}

#[test]
fn areas_are_aligned() {
    for offset in 0..32 {
        for (area, align, config) in [
            (
                Area::Descriptors,
                16,
                SplitConfig {
                    desc: DESC + offset,
                    ..CONFIG
                },
            ),
            (
                Area::Available,
                2,
                SplitConfig {
                    avail: AVAIL + offset,
                    ..CONFIG
                },
            ),
            (
                Area::Used,
                4,
                SplitConfig {
                    used: USED + offset,
                    ..CONFIG
                },
            ),
        ] {
            let base = match area {
                Area::Descriptors => DESC,
                Area::Available => AVAIL,
                Area::Used => USED,
            };
            let error = SetupError::Alignment {
                area,
                addr: base + offset,
                align,
            };
            match Split::new(&config) {
                Ok(_) => assert_eq!(offset % align, 0),
                Err(refused) => assert!(refused == error && offset % align != 0),
            }
        }
    }
}

#[test]
fn areas_end_within_the_address_space() {
    for size in [1u32, 4, 256, 32768] {
        let bytes = u64::from(size);
        for (area, align, len) in [
            (Area::Descriptors, 16, 16 * bytes),
            (Area::Available, 2, 6 + 2 * bytes),
            (Area::Used, 4, 6 + 8 * bytes),
        ] {
            let at = |addr| {
                let mut config = SplitConfig { size, ..CONFIG };
                match area {
                    Area::Descriptors => config.desc = addr,
                    Area::Available => config.avail = addr,
                    Area::Used => config.used = addr,
                }
                Split::new(&config).map(|_| ())
            };
            // The last address where the area fits, exactly or by what the alignment leaves over.
            let fits = len.wrapping_neg() & !(align - 1);
            at(fits).unwrap();
            // The next address after it, if there is one, and the last.
            for addr in [fits.checked_add(align), Some(align.wrapping_neg())] {
                if let Some(addr) = addr.filter(|&addr| addr > fits) {
                    assert_eq!(at(addr), Err(SetupError::Wraps { area, addr, len }));
                }
            }
        }
    }
}

#[test]
fn a_ring_at_the_end_of_the_address_space_works() {
    // The descriptor table and the used ring end with the last byte there is.
    let base = u64::MAX - 0xfff;
    let config = SplitConfig {
        size: 1,
        desc: base,
        avail: base + 0x100,
        used: u64::MAX - 15,
        event_idx: true,
        indirect: false,
    };
    let ram = Ram::new(base, 0x1000);
    let mut ring = Split::new(&config).unwrap();
    // The buffer ends where the address space ends, too.
    ram.poke_descriptor(base, u64::MAX - 15, 16, 0, 0);
    ram.poke16(base + 0x102, 1);
    let mut storage = [Segment::EMPTY; 1];
    let chain = ring.pop(&ram, &mut storage).unwrap().unwrap();
    assert_eq!(chain.reader(&ram).read_array::<16>(), Ok([0; 16]));
    ring.complete(&ram, chain.into_token(), 0).unwrap();
    ring.publish(&ram).unwrap();
    assert!(ring.needs_notification(&ram));
    assert_eq!(ring.enable_notifications(&ram), Ok(false));
    assert_eq!(ram.peek16(u64::MAX - 3), 1);
}

#[test]
fn setting_up_does_not_access_the_ring() {
    let (ram, ring) = setup(CONFIG);
    assert!(ram.take_log().is_empty());
    assert_eq!(ring.state(), SplitState { avail_index: 0 });
    assert_eq!(ring.in_flight(), 0);
}
