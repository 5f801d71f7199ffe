// SPDX-License-Identifier: GPL-2.0

//! The virtqueue engine: a device that works, over memory of a guest.

use crate::{
    pages::Guest,
    ring::{
        get,
        put,
        Ring,
        SIZE, //
    },
};
use kernel::prelude::*;
use vdpa::Asid;
use virtqueue::{
    CursorError,
    Fault,
    Refusal,
    Ring as _,
    RingError,
    Segment,
    Split,
    SplitConfig,
    SplitState, //
};

const BASE: u64 = 0x10_0000;
/// Two pages of data, which are not next to each other in memory.
const DATA: u64 = BASE + 0x1000;
const END: u64 = BASE + 0x3000;

fn config(ring: &Ring, event_idx: bool) -> SplitConfig {
    let address = ring.address();

    SplitConfig {
        size: SIZE.into(),
        desc: address.desc,
        avail: address.driver,
        used: address.device,
        event_idx,
        indirect: false,
    }
}

fn split(ring: &Ring, event_idx: bool) -> Result<Split> {
    Split::new(&config(ring, event_idx)).map_err(|_| EINVAL)
}

fn not_mapped(addr: u64) -> Fault {
    Fault {
        addr,
        refusal: Refusal::NotMapped,
    }
}

#[kunit_tests(vdpa_virtqueue_device)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_in_order() -> Result {
        let guest = Guest::new(BASE, 3)?;
        let iommu = guest.lock()?;
        let memory = iommu.memory(Asid(0));
        let mut driver = Ring::new(BASE);
        let mut device = split(&driver, false)?;
        let mut storage = [Segment::EMPTY; 8];
        let text = *b"across the end of a page, in three pieces";

        put(&memory, DATA + 0xff0, &text)?;
        for round in 0..40u16 {
            let read = [(DATA + 0xff0, 7, false), (DATA + 0xff7, 34, false)];
            let write = [(DATA + 0x800, 1, true), (DATA + 0x801, 100, true)];
            let [a, b] = read;
            let [c, d] = write;

            driver.offer(&memory, round % 12, &[a, b, c, d])?;
            let chain = device
                .pop(&memory, &mut storage)
                .map_err(|_| EIO)?
                .ok_or(ENODATA)?;
            let mut writer = chain.writer(&memory);
            let copied = chain.reader(&memory).copy_to(&mut writer, u64::MAX);
            check_eq!(copied, Ok(text.len() as u64));
            let written = writer.written();
            check_eq!(
                device.complete(&memory, chain.into_token(), written),
                Ok(())
            );
            check_eq!(driver.used(&memory)?, round);
            check_eq!(device.publish(&memory), Ok(()));
            check_eq!(driver.used(&memory)?, round + 1);
            let expected = (u32::from(round % 12), text.len() as u32);
            check_eq!(driver.element(&memory, round)?, expected);
            check!(get::<41>(&memory, DATA + 0x800)? == text);
            put(&memory, DATA + 0x800, &[0; 41])?;
        }
        Ok(())
    }

    #[test]
    fn the_event_index_says_when_to_notify() -> Result {
        let guest = Guest::new(BASE, 3)?;
        let iommu = guest.lock()?;
        let memory = iommu.memory(Asid(0));
        let mut driver = Ring::new(BASE);
        let mut device = split(&driver, true)?;
        let mut storage = [Segment::EMPTY; 8];
        // `used_event`, behind the available ring.
        let event = driver.address().driver + 4 + 2 * u64::from(SIZE);

        for (wanted, notified) in [(0u16, true), (5, false), (2, true), (0xffff, false)] {
            put(&memory, event, &wanted.to_le_bytes())?;
            driver.offer(&memory, 0, &[(DATA, 1, true)])?;
            let chain = device.pop(&memory, &mut storage).map_err(|_| EIO)?;
            let token = chain.ok_or(ENODATA)?.into_token();
            check_eq!(device.complete(&memory, token, 0), Ok(()));
            check_eq!(device.publish(&memory), Ok(()));
            check_eq!(device.needs_notification(&memory), notified);
        }
        // The device waits for the fifth chain.
        check_eq!(device.enable_notifications(&memory), Ok(false));
        let avail_event = driver.address().device + 4 + 8 * u64::from(SIZE);
        check_eq!(u16::from_le_bytes(get(&memory, avail_event)?), 4);
        driver.offer(&memory, 0, &[(DATA, 1, true)])?;
        check_eq!(device.enable_notifications(&memory), Ok(true));
        Ok(())
    }

    #[test]
    fn buffers_that_are_not_mapped_are_faults() -> Result {
        let guest = Guest::new(BASE, 3)?;
        let iommu = guest.lock()?;
        let memory = iommu.memory(Asid(0));
        let mut driver = Ring::new(BASE);
        let mut device = split(&driver, false)?;
        let mut storage = [Segment::EMPTY; 8];

        driver.offer(&memory, 0, &[(END - 4, 8, false), (END - 4, 8, true)])?;
        let chain = device.pop(&memory, &mut storage).map_err(|_| EIO)?;
        let chain = chain.ok_or(ENODATA)?;
        let fault = CursorError::Fault(not_mapped(END - 4));
        check_eq!(chain.reader(&memory).read_array::<8>(), Err(fault));
        let mut writer = chain.writer(&memory);
        check_eq!(writer.write_array([1; 8]), Err(fault));
        check_eq!(writer.written(), 0);
        // What is there can be used.
        check_eq!(chain.writer(&memory).write_array([1; 4]), Ok(()));
        check_eq!(device.complete(&memory, chain.into_token(), 4), Ok(()));
        Ok(())
    }

    #[test]
    fn a_ring_that_is_not_mapped_can_be_neither_read_nor_written() -> Result {
        let guest = Guest::new(BASE, 1)?;
        let iommu = guest.lock()?;
        let memory = iommu.memory(Asid(0));
        let mut driver = Ring::new(BASE);
        let mut storage = [Segment::EMPTY; 8];

        let mut device = Split::new(&SplitConfig {
            avail: END,
            ..config(&driver, false)
        })
        .map_err(|_| EINVAL)?;
        let fault = RingError::Fault(not_mapped(END + 2));
        check!(matches!(
            device.pop(&memory, &mut storage),
            Err(error) if error == fault
        ));

        let mut device = Split::new(&SplitConfig {
            used: END,
            ..config(&driver, false)
        })
        .map_err(|_| EINVAL)?;
        driver.offer(&memory, 0, &[(BASE, 1, false)])?;
        let chain = device.pop(&memory, &mut storage).map_err(|_| EIO)?;
        let token = chain.ok_or(ENODATA)?.into_token();
        // It is to be tried again, and the chain is still in flight.
        let Err(failed) = device.complete(&memory, token, 0) else {
            return Err(EBADE);
        };
        check_eq!(failed.error, RingError::Fault(not_mapped(END + 4)));
        check_eq!(device.in_flight(), 1);
        check_eq!(device.broken(), None);
        check_eq!(device.unpop(failed.token), Ok(()));
        check_eq!(device.state(), SplitState { avail_index: 0 });
        Ok(())
    }

    #[test]
    fn another_device_goes_on_where_one_stopped() -> Result {
        let guest = Guest::new(BASE, 3)?;
        let iommu = guest.lock()?;
        let memory = iommu.memory(Asid(0));
        let mut driver = Ring::new(BASE);
        let mut storage = [Segment::EMPTY; 8];
        let mut state = SplitState { avail_index: 0 };

        for index in 0..5u16 {
            let mut device = split(&driver, false)?;

            device.set_state(state);
            driver.offer(&memory, index, &[(DATA, 1, false)])?;
            let chain = device.pop(&memory, &mut storage).map_err(|_| EIO)?;
            let chain = chain.ok_or(ENODATA)?;
            check_eq!(chain.id(), index);
            check_eq!(device.complete(&memory, chain.into_token(), 0), Ok(()));
            check_eq!(device.publish(&memory), Ok(()));
            state = device.state();
        }
        check_eq!(state, SplitState { avail_index: 5 });
        check_eq!(driver.used(&memory)?, 5);
        Ok(())
    }
}
