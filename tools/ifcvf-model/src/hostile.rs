// SPDX-License-Identifier: GPL-2.0

//! A device that means harm: which faults it has follows from a number.
//!
//! There are few of them at a time, and most leave the device so that a driver gets far with it.
//! Their values are mostly those next to a limit.

use checks::random::{mix, Random};

use crate::settings::Settings;

/// Faults of one device at a time, at most.
const MOST: u64 = 3;
/// One of so many devices is of no use from the start, others get worse later.
const USELESS: u64 = 3;
/// One of so many resets that take time never ends: drivers wait for seconds.
const NEVER: u64 = 12;

/// Features that a network device must not offer without a control queue, or the kernel's driver
/// waits for one that does not answer for ever: `VIRTIO_NET_F_CTRL_VQ` and those that need it.
pub const CONTROL: u64 = (1 << 17) | (0x3f << 18);

/// Random numbers that mean harm.
struct Malice(Random);

/// The faults that belong to a seed, as they are written for [`Fault`](crate::faults::Fault).
pub fn faults(seed: u64, settings: &Settings) -> Vec<String> {
    let mut malice = Malice(Random::new(mix(seed)));
    let useless = malice.0.below(USELESS) == 0;
    let count = 1 + malice.0.below(MOST);

    (0..count)
        .map(|number| match useless && number == 0 {
            true => malice.at_first(settings),
            false => malice.later(settings),
        })
        .collect()
}

impl Malice {
    fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.below(high - low + 1)
    }

    /// A number next to a limit of something, or any.
    fn limit(&mut self, bits: u32) -> u64 {
        let any = self.0.next();
        let power = 1u64 << self.0.below(bits.into());
        let places = [
            0x37, 0x38, 0x40, 0xfff, 0x1000, 0x1ffe, 0x2000, 0x4000, 0x7ffe, 0x8000,
        ];
        let place = self.0.pick(&places);
        let value = self
            .0
            .pick(&[0, 1, 2, power, power - 1, power + 1, place, u64::MAX, any]);

        value & (u64::MAX >> (64 - bits))
    }

    fn structure(&mut self) -> &'static str {
        self.0.pick(&["common", "notify", "isr", "device"])
    }

    /// What most drivers find when they look at the device for the first time.
    fn at_first(&mut self, settings: &Settings) -> String {
        let queues = u64::from(settings.queues());
        let structure = self.structure();

        match self.0.below(12) {
            0 => format!("cap-missing:{structure}"),
            1 => format!("cap-len:{structure}:{}", self.limit(8)),
            2 => format!("cap-bar:{structure}:{}", self.limit(8)),
            3 => format!("cap-offset:{structure}:{}", self.limit(32)),
            4 => format!("cap-length:{structure}:{}", self.limit(32)),
            5 => format!("multiplier:{}", self.limit(32)),
            6 => format!("notify-off:{}", self.limit(16)),
            7 => format!("queue-size:{}:{}", self.within(0, queues), self.limit(16)),
            8 => format!("queues:{}", self.limit(16)),
            9 => self.noise("pci", 64),
            10 => self.noise("common", 64),
            _ => format!("vanish:{}", self.within(0, 60)),
        }
    }

    /// What shows only when the device is used.
    fn later(&mut self, settings: &Settings) -> String {
        match self.0.below(16) {
            0 => self.noise("common", 6),
            1 => self.noise("isr", 255),
            2 => self.noise("device", 100),
            3 => self.noise("migration", 255),
            4 | 5 => format!("storm:{}", self.within(1, 1000)),
            6 => format!("churn:{}:{}", self.within(1, 30), self.within(1, 50)),
            7 => format!("flap:{}", self.within(2, 100)),
            8 => "vectors:refused".to_owned(),
            9 => "features-ok:refused".to_owned(),
            10 => format!("features:{:#x}", self.features(settings)),
            11 => format!("ones:{}", self.0.pick(&["isr", "device", "migration"])),
            12 => match self.0.below(2) {
                0 => "stop:never".to_owned(),
                _ => format!("stop:{}", self.within(1, 2000)),
            },
            13 => match self.0.below(NEVER) {
                0 => "reset:never".to_owned(),
                _ => format!("reset:{}", self.within(1, 40)),
            },
            14 => format!("vanish:{}", self.within(50, 600)),
            _ => self.moderate(settings),
        }
    }

    /// A value that is not the usual one, but could be.
    fn moderate(&mut self, settings: &Settings) -> String {
        let queues = u64::from(settings.queues());
        let size = 1 << self.0.below(16);

        match self.0.below(7) {
            0 => format!("queue-size:{size}"),
            1 => format!("queues:{}", self.within(1, queues)),
            2 => format!("notify-off:{}", self.within(0, queues - 1)),
            3 => format!("multiplier:{}", self.0.pick(&[0, 2, 4, 0x800])),
            4 => format!("stray:{:#x}", self.0.next()),
            5 => format!("enables:{}:{}", self.within(0, queues - 1), self.0.below(3)),
            _ => "enable:strict".to_owned(),
        }
    }

    /// Reads of an area that are wrong, up to so many of 256.
    fn noise(&mut self, area: &str, most: u64) -> String {
        let rate = self.within(1, most);

        format!("noise:{area}:{rate}:{}", self.0.below(1 << 32))
    }

    /// Features, mostly those that a device has.
    fn features(&mut self, settings: &Settings) -> u64 {
        let some = match self.0.below(4) {
            0 => self.0.next(),
            _ => u64::MAX ^ (1 << self.0.below(64)) ^ (1 << self.0.below(64)),
        };

        if settings.is_net() {
            some & !CONTROL
        } else {
            some
        }
    }
}

/// Registers, or configuration space, that do not always read as they are.
pub struct Noise {
    /// Reads of 256 that are wrong.
    pub rate: u8,
    random: Random,
}

impl Noise {
    /// Noise that follows from a number.
    pub fn new(rate: u8, seed: u32) -> Self {
        Self {
            rate,
            random: Random::new(seed.into()),
        }
    }

    /// Spoils what is read now and then.
    pub fn spoil(&mut self, data: &mut [u8]) {
        let any = self.random.next();

        if any as u8 >= self.rate || data.is_empty() {
            return;
        }
        match (any >> 8) % 8 {
            0 => self.random.fill(data),
            1 => data.fill(0xff),
            2 => data.fill(0),
            // The value next to the right one.
            3 => data[0] = data[0].wrapping_add(1),
            4 => data[0] = data[0].wrapping_sub(1),
            _ => {
                let at = self.random.index(data.len());
                data[at] ^= 1 << self.random.below(8);
            }
        }
    }

    /// Gives any number below `end`.
    pub fn below(&mut self, end: u16) -> u16 {
        self.random.below(end.into()) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;

    fn settings() -> Settings {
        Settings::new("s".into())
    }

    #[test]
    fn all_are_understood() {
        for seed in 0..10_000 {
            for fault in faults(seed, &settings()) {
                fault.parse::<Fault>().unwrap();
            }
        }
    }

    #[test]
    fn a_seed_reproduces() {
        assert_eq!(faults(7, &settings()), faults(7, &settings()));
        assert_ne!(faults(7, &settings()), faults(8, &settings()));
    }

    #[test]
    fn no_control_queue_is_promised() {
        for seed in 0..10_000 {
            for fault in faults(seed, &settings()) {
                if let Ok(Fault::Features(features)) = fault.parse() {
                    assert_eq!(features & CONTROL, 0);
                }
            }
        }
    }

    #[test]
    fn noise_is_as_frequent_as_asked_for() {
        let mut noise = Noise::new(25, 1);
        let wrong = (0..10_000)
            .filter(|_| {
                let mut data = [1, 2, 3, 4];
                noise.spoil(&mut data);
                data != [1, 2, 3, 4]
            })
            .count();
        assert!((700..1300).contains(&wrong), "{wrong}");
    }
}
