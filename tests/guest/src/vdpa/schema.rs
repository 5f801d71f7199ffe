// SPDX-License-Identifier: GPL-2.0

//! Numbers and types of `linux/vdpa.h`.

/// The family's name.
pub const NAME: &str = "vdpa";

/// The family's version.
pub const VERSION: u8 = 1;

/// Commands.
pub mod command {
    /// Answer only: a management device.
    pub const MGMTDEV_NEW: u8 = 1;
    /// Asks for one or all management devices.
    pub const MGMTDEV_GET: u8 = 2;
    /// Makes a device; also the answer that describes one.
    pub const DEV_NEW: u8 = 3;
    /// Removes a device.
    pub const DEV_DEL: u8 = 4;
    /// Asks for one or all devices.
    pub const DEV_GET: u8 = 5;
    /// Asks for the configuration of one or all devices.
    pub const DEV_CONFIG_GET: u8 = 6;
    /// Asks for the statistics of a virtqueue.
    pub const DEV_VSTATS_GET: u8 = 7;
    /// Changes a device.
    pub const DEV_ATTR_SET: u8 = 8;
}

/// What an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it only aligns the next one.
    Padding,
    /// Text with a zero byte at its end, and none before.
    Text,
    /// A number of 8 bits.
    U8,
    /// A number of 16 bits.
    U16,
    /// A number of 32 bits.
    U32,
    /// A number of 64 bits.
    U64,
    /// An Ethernet address.
    Mac,
}

impl Kind {
    /// The length, if all values have the same.
    pub fn length(self) -> Option<usize> {
        match self {
            Self::Padding => Some(0),
            Self::Text => None,
            Self::U8 => Some(1),
            Self::U16 => Some(2),
            Self::U32 => Some(4),
            Self::U64 => Some(8),
            Self::Mac => Some(6),
        }
    }
}

macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $kind:ident;)*) => {
        /// Attributes.
        pub mod attribute {
            $($(#[$doc])* pub const $name: u16 = $number;)*
        }

        const ATTRIBUTES: &[(u16, &str, Kind)] = &[
            $((attribute::$name, stringify!($name), Kind::$kind),)*
        ];
    };
}

attributes! {
    /// Aligns a number of 64 bits on machines that need it.
    PAD = 0, Padding;
    /// The bus of a management device, unless it is simulated.
    MGMTDEV_BUS_NAME = 1, Text;
    /// The name of a management device.
    MGMTDEV_DEV_NAME = 2, Text;
    /// Device types, one bit each.
    MGMTDEV_SUPPORTED_CLASSES = 3, U64;
    /// The name of a device.
    DEV_NAME = 4, Text;
    /// The type of a device.
    DEV_ID = 5, U32;
    /// The vendor of a device.
    DEV_VENDOR_ID = 6, U32;
    /// The number of virtqueues.
    DEV_MAX_VQS = 7, U32;
    /// The largest size of a virtqueue.
    DEV_MAX_VQ_SIZE = 8, U16;
    /// The smallest size of a virtqueue.
    DEV_MIN_VQ_SIZE = 9, U16;
    /// The MAC address.
    DEV_NET_CFG_MACADDR = 10, Mac;
    /// Whether the link is up, and more.
    DEV_NET_STATUS = 11, U16;
    /// The number of queue pairs.
    DEV_NET_CFG_MAX_VQP = 12, U16;
    /// The largest packet.
    DEV_NET_CFG_MTU = 13, U16;
    /// Features that device and driver agreed on.
    DEV_NEGOTIATED_FEATURES = 14, U64;
    /// The number of virtqueues that a management device has for a device.
    DEV_MGMTDEV_MAX_VQS = 15, U32;
    /// Features that a management device can give to a device.
    DEV_SUPPORTED_FEATURES = 16, U64;
    /// The index of a virtqueue.
    DEV_QUEUE_INDEX = 17, U32;
    /// What the next value counts.
    DEV_VENDOR_ATTR_NAME = 18, Text;
    /// A count.
    DEV_VENDOR_ATTR_VALUE = 19, U64;
    /// Features of a device.
    DEV_FEATURES = 20, U64;
    /// Sectors of 512 bytes.
    DEV_BLK_CFG_CAPACITY = 21, U64;
    /// The longest segment.
    DEV_BLK_CFG_SIZE_MAX = 22, U32;
    /// The length of a block.
    DEV_BLK_CFG_BLK_SIZE = 23, U32;
    /// The largest number of segments.
    DEV_BLK_CFG_SEG_MAX = 24, U32;
    /// The number of virtqueues.
    DEV_BLK_CFG_NUM_QUEUES = 25, U16;
    /// Logical blocks in a physical one, as an exponent of two.
    DEV_BLK_CFG_PHY_BLK_EXP = 26, U8;
    /// The offset of the first aligned block.
    DEV_BLK_CFG_ALIGN_OFFSET = 27, U8;
    /// The smallest good transfer.
    DEV_BLK_CFG_MIN_IO_SIZE = 28, U16;
    /// The best transfer.
    DEV_BLK_CFG_OPT_IO_SIZE = 29, U32;
    /// How much can be discarded at once.
    DEV_BLK_CFG_MAX_DISCARD_SEC = 30, U32;
    /// In how many pieces.
    DEV_BLK_CFG_MAX_DISCARD_SEG = 31, U32;
    /// How they must be aligned.
    DEV_BLK_CFG_DISCARD_SEC_ALIGN = 32, U32;
    /// How much can be made zeroes at once.
    DEV_BLK_CFG_MAX_WRITE_ZEROES_SEC = 33, U32;
    /// In how many pieces.
    DEV_BLK_CFG_MAX_WRITE_ZEROES_SEG = 34, U32;
    /// Whether the disk cannot be written to.
    DEV_BLK_READ_ONLY = 35, U8;
    /// Whether the disk has a cache to flush.
    DEV_BLK_FLUSH = 36, U8;
}

/// Looks an attribute up: its name and what it holds.
pub fn attribute_type(number: u16) -> Option<(&'static str, Kind)> {
    ATTRIBUTES
        .iter()
        .find(|(found, ..)| *found == number)
        .map(|&(_, name, kind)| (name, kind))
}

/// Bits of the features used here: the virtio specification, 5.1.3.
pub mod feature {
    /// The device gives an MTU.
    pub const NET_MTU: u64 = 1 << 3;
    /// The device gives a MAC address.
    pub const NET_MAC: u64 = 1 << 5;
    /// A bit that no device offers: it is reserved for new device types.
    pub const UNKNOWN: u64 = 1 << 49;
}
