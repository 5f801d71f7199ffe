// SPDX-License-Identifier: GPL-2.0

//! Devices that come and go, and change their driver, while others use them.

use checks::random::Random;

use super::action::{Action, Bytes};
use super::cast::{Cast, INNER};
use super::netlink;

const BUS: &str = "/sys/bus/vdpa";

/// Drivers of the bus, and one that there is not.
const DRIVERS: [&str; 3] = ["vhost_vdpa", "virtio_vdpa", "none"];

/// How long devices stay as they are, in milliseconds.
const CALM: u64 = 400;

fn set(name: &'static str, path: String, text: impl Into<Vec<u8>>) -> Action {
    Action::Set {
        name,
        path,
        text: Bytes(text.into()),
    }
}

/// Some messages, and then something that happens to a device.
pub fn episode(random: &mut Random, cast: Cast) -> Vec<Action> {
    let mut actions: Vec<_> = (0..random.below(16))
        .map(|_| netlink::any(random, cast))
        .collect();
    // What the worst of parents remembers of a driver shows when the driver changes.
    let (device, rest) = match cast {
        Cast::Simulators => (random.pick(cast.names()), 24),
        Cast::Worst => (cast.names()[0], 14),
    };

    if cast == Cast::Worst {
        actions.extend((0..random.below(4)).map(|_| change(random)));
    }

    match random.below(rest) {
        0..=2 => {
            actions.push(netlink::remove(device));
            // Mostly it is back soon.
            if random.below(4) == 0 {
                actions.push(Action::Wait {
                    time: random.below(CALM),
                });
            }
        }
        3..=5 => rebind(random, cast, device, &mut actions),
        6..=8 => override_driver(random, device, &mut actions),
        9 | 10 => actions.push(match cast {
            Cast::Simulators => reload(random),
            Cast::Worst => reload_worst(random),
        }),
        11..=13 => actions.extend((0..random.below(8)).map(|_| read(random, device))),
        _ => (),
    }
    // Whatever has become of them.
    if random.below(4) == 0 {
        actions.push(Action::Clean);
    }
    actions.extend(cast.names().iter().map(|name| netlink::add(cast, name)));
    actions.push(Action::Wait {
        time: CALM / 2 + random.below(CALM),
    });
    actions
}

/// Takes a device from its driver, and gives it to the same or another one, and back.
fn rebind(random: &mut Random, cast: Cast, device: &str, actions: &mut Vec<Action>) {
    let driver = |name: &str, file: &str| format!("{BUS}/drivers/{name}/{file}");
    let other = random.pick(&DRIVERS);

    actions.push(set("sysfs unbind", driver("vhost_vdpa", "unbind"), device));
    if cast == Cast::Worst {
        // Until the driver's memory is free.
        actions.push(Action::Wait {
            time: random.below(4 * CALM),
        });
    }
    if random.below(2) == 0 {
        actions.push(set("sysfs bind", driver(other, "bind"), device));
        actions.push(Action::Wait {
            time: random.below(CALM / 4),
        });
        actions.push(set("sysfs unbind", driver(other, "unbind"), device));
    }
    actions.push(set("sysfs bind", driver("vhost_vdpa", "bind"), device));
}

/// Says which driver a device shall have.
fn override_driver(random: &mut Random, device: &str, actions: &mut Vec<Action>) {
    const NAME: &str = "sysfs driver_override";
    let path = format!("{BUS}/devices/{device}/driver_override");
    let text = match random.below(6) {
        0 => vec![b'x'; random.pick(&[1, 4095, 4096, 5000])],
        1 => b"\n".to_vec(),
        2 => b"a\nb".to_vec(),
        3 => vec![0; 3],
        _ => random.pick(&DRIVERS).as_bytes().to_vec(),
    };

    actions.push(set(NAME, path.clone(), text));
    actions.push(Action::Get { path: path.clone() });
    actions.push(set(
        "sysfs unbind",
        format!("{BUS}/drivers/vhost_vdpa/unbind"),
        device,
    ));
    actions.push(set("sysfs probe", format!("{BUS}/drivers_probe"), device));
    actions.push(set(NAME, path, "\n"));
    // If it has another driver now.
    actions.push(set(
        "sysfs unbind",
        format!("{BUS}/drivers/virtio_vdpa/unbind"),
        device,
    ));
    actions.push(set("sysfs probe", format!("{BUS}/drivers_probe"), device));
}

/// A simulator treats memory in another way. Some parameters are refused.
///
/// A disk takes long to make on a kernel that looks at each page, so there is one for all devices.
fn reload(random: &mut Random) -> Action {
    let module = match random.below(12) {
        0 => "vdpa_sim_blk",
        _ => "vdpa_sim_net",
    };
    let mut parameters = format!(
        "use_va={} batch_mapping={}",
        random.below(2),
        random.below(2)
    );

    if random.below(3) == 0 {
        let entries = random.pick(&[1, 2, 3, 16]);
        parameters = format!("{parameters} max_iotlb_entries={entries}");
    }
    if module == "vdpa_sim_blk" {
        parameters = format!("{parameters} shared_backend=1");
    }
    Action::Reload { module, parameters }
}

/// What the worst of parents can be told to do, and how. Not to have a status with all bits: the
/// kernel warns of a device that is ready before its driver is.
const TRAITS: [(&str, &[u32]); 6] = [
    ("gap", &[0, 1, 20]),
    ("stray", &[0, 1, 1, 1]),
    ("doorbells", &[0, 1, 2, 3]),
    ("moves", &[0, 1]),
    ("trigger", &[0, 1]),
    ("unmap_fails", &[0, 1, 5]),
];

/// The worst of parents behaves in another way from now on.
fn change(random: &mut Random) -> Action {
    let (name, values) = random.pick(&TRAITS);

    set(
        "the worst changed",
        format!("/sys/module/vdpa_worst/parameters/{name}"),
        random.pick(values).to_string(),
    )
}

/// It begins anew.
fn reload_worst(random: &mut Random) -> Action {
    let mut parameters = format!("inner={INNER} files={}", random.below(2));

    for (name, values) in TRAITS {
        parameters = format!("{parameters} {name}={}", random.pick(values));
    }
    Action::Reload {
        module: "vdpa_worst",
        parameters,
    }
}

fn read(random: &mut Random, device: &str) -> Action {
    let file = random.pick(&["driver_override", "uevent", "driver/uevent", "none"]);

    Action::Get {
        path: format!("{BUS}/devices/{device}/{file}"),
    }
}
