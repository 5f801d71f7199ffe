// SPDX-License-Identifier: GPL-2.0

//! The attributes that a new device is given.

use super::{
    attr,
    id,
    MAC_LEN, //
};
use crate::{
    genl::{
        CheckU16,
        Extack,
        Request,
        Shortened, //
    },
    mgmtdev::MgmtDev, //
};
use kernel::{
    fmt,
    prelude::*, //
};
use vdpa::{
    bindings,
    Features, //
};

/// The feature bits that belong to a device type; the others belong to virtio at large.
///
/// Virtio 1.3, section 2.2 "Feature Bits".
const DEVICE_TYPE_FEATURES: u64 =
    !(((1 << bindings::VIRTIO_TRANSPORT_F_END) << 1) - (1 << bindings::VIRTIO_TRANSPORT_F_START));

/// The smallest MTU of a network device: that of IPv4 (RFC 791), and virtio 1.3, section 5.1.4.1.
const MIN_MTU: u16 = 68;

/// Refuses an MTU that is too small.
pub(super) struct CheckMtu;

impl CheckU16 for CheckMtu {
    fn check(mtu: u16, extack: Extack<'_>) -> Result {
        if mtu < MIN_MTU {
            return Err(extack.refuse(
                ERANGE,
                fmt!("MTU {} refused: must be {} to {}", mtu, MIN_MTU, u16::MAX),
            ));
        }
        Ok(())
    }
}

/// A MAC address.
#[derive(Clone, Copy)]
pub(super) struct MacAddr(pub(super) [u8; MAC_LEN]);

impl MacAddr {
    /// Whether it stands for a group of interfaces rather than for one.
    pub(super) fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it stands for no interface.
    pub(super) fn is_zero(self) -> bool {
        self.0 == [0; MAC_LEN]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { ":" };

            f.write_fmt(fmt!("{}{:02x}", separator, byte))?;
        }
        Ok(())
    }
}

/// The names of the attributes in a mask.
pub(super) struct Names(pub(super) u64);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";

        for (attr, name) in attr::PROVISIONED {
            if self.0 & attr::bit(attr) != 0 {
                f.write_fmt(fmt!("{}{}", separator, name))?;
                separator = " ";
            }
        }
        if separator.is_empty() {
            f.write_str("no attributes")?;
        }
        Ok(())
    }
}

/// The attributes that a new device is given.
pub(super) struct Provision(bindings::vdpa_dev_set_config);

impl Provision {
    /// Reads the attributes of a request, and refuses those that contradict each other.
    pub(super) fn parse(request: &Request<'_>) -> Result<Self> {
        let attrs = request.attrs();
        let mut config = pin_init::zeroed::<bindings::vdpa_dev_set_config>();

        for (attr, _) in attr::PROVISIONED {
            if attrs.has(attr) {
                config.mask |= attr::bit(attr);
            }
        }
        config.net.mac = attrs.bytes(attr::DEV_NET_CFG_MACADDR)?.unwrap_or_default();
        config.net.mtu = attrs.u16(attr::DEV_NET_CFG_MTU)?.unwrap_or_default();
        config.net.max_vq_pairs = attrs.u16(attr::DEV_NET_CFG_MAX_VQP)?.unwrap_or_default();
        config.device_features = attrs.u64(attr::DEV_FEATURES)?.unwrap_or_default();

        let this = Self(config);

        this.check_pairs(request)?;
        this.check_features(request)?;
        Ok(this)
    }

    /// What is asked of a management device.
    pub(super) fn config(&self) -> &bindings::vdpa_dev_set_config {
        &self.0
    }

    fn has(&self, attr: u16) -> bool {
        self.0.mask & attr::bit(attr) != 0
    }

    fn is_net(&self) -> bool {
        self.0.mask & attr::NET_MASK != 0
    }

    /// Refuses a device without queues.
    fn check_pairs(&self, request: &Request<'_>) -> Result {
        if self.has(attr::DEV_NET_CFG_MAX_VQP) && self.0.net.max_vq_pairs == 0 {
            return Err(request.refuse_attr(
                attr::DEV_NET_CFG_MAX_VQP,
                EINVAL,
                fmt!("max_vqp 0 refused: must be 1 or more"),
            ));
        }
        Ok(())
    }

    /// The features that make the device tell its driver of the attributes (virtio 1.3, section
    /// 5.1.3).
    fn needed_features(&self) -> Features {
        let mut needed = Features(0);
        let mut need = |when: bool, bit: u32| {
            if when {
                needed = needed.union(Features::from_bits(&[bit]));
            }
        };

        need(
            self.has(attr::DEV_NET_CFG_MACADDR),
            bindings::VIRTIO_NET_F_MAC,
        );
        need(self.has(attr::DEV_NET_CFG_MTU), bindings::VIRTIO_NET_F_MTU);
        // One pair is what a device without the feature has.
        need(self.0.net.max_vq_pairs > 1, bindings::VIRTIO_NET_F_MQ);
        needed
    }

    /// Refuses attributes that the features would keep the driver from knowing.
    fn check_features(&self, request: &Request<'_>) -> Result {
        let missing = self
            .needed_features()
            .difference(Features(self.0.device_features));

        if self.has(attr::DEV_FEATURES) && !missing.is_empty() {
            return Err(request.refuse_attr(
                attr::DEV_FEATURES,
                EINVAL,
                fmt!(
                    "device_features lack 0x{:x}, which mac, mtu or max_vqp need",
                    missing.0
                ),
            ));
        }
        Ok(())
    }

    /// Refuses what a management device is not able to give.
    pub(super) fn check(&self, request: &Request<'_>, mgmtdev: &MgmtDev) -> Result {
        let config = &self.0;
        let classes = mgmtdev.classes();
        let supported = mgmtdev.config_attr_mask();
        let mac = MacAddr(config.net.mac);

        if config.mask & !supported != 0 {
            let refused = Names(config.mask & !supported);

            return Err(request.refuse(
                EOPNOTSUPP,
                fmt!(
                    "{} refused: {} accepts {}",
                    refused,
                    Shortened(mgmtdev.name()),
                    Names(supported)
                ),
            ));
        }
        if self.is_net() && !classes.has(id::NET) {
            return Err(request.refuse(
                EINVAL,
                fmt!(
                    "{} makes no network devices: {} refused",
                    Shortened(mgmtdev.name()),
                    Names(config.mask & attr::NET_MASK)
                ),
            ));
        }
        // With several device types to choose from, only an attribute tells which one the features
        // are meant for.
        if self.has(attr::DEV_FEATURES)
            && !self.is_net()
            && classes.has(id::NET)
            && classes.count > 1
            && config.device_features & DEVICE_TYPE_FEATURES != 0
        {
            return Err(request.refuse_attr(
                attr::DEV_FEATURES,
                EINVAL,
                fmt!(
                    "features 0x{:x} of which device type? Give mac, mtu or max_vqp too",
                    config.device_features & DEVICE_TYPE_FEATURES
                ),
            ));
        }
        // All zero is accepted: to some parents it means that the device is to have no address.
        if self.has(attr::DEV_NET_CFG_MACADDR) && mac.is_multicast() {
            return Err(request.refuse_attr(
                attr::DEV_NET_CFG_MACADDR,
                EINVAL,
                fmt!("MAC address {} refused: must not be multicast", mac),
            ));
        }
        Ok(())
    }

    /// Explains, as far as can be known, why a management device has refused.
    pub(super) fn explain(
        &self,
        request: &Request<'_>,
        mgmtdev: &MgmtDev,
        name: &CStr,
        error: Error,
    ) -> Error {
        let supported = mgmtdev.supported_features();
        let excess = Features(self.0.device_features).difference(supported);

        if error == EINVAL && !excess.is_empty() {
            return request.refuse_attr(
                attr::DEV_FEATURES,
                error,
                fmt!(
                    "{} offers features 0x{:x}, not 0x{:x}",
                    Shortened(mgmtdev.name()),
                    supported.0,
                    excess.0
                ),
            );
        }
        request.extack().refuse_unless_explained(
            error,
            fmt!(
                "{} refused to add \"{}\": error {}",
                Shortened(mgmtdev.name()),
                Shortened(name),
                error.to_errno()
            ),
        )
    }
}
