// SPDX-License-Identifier: GPL-2.0

//! `VDPA_CMD_DEV_CONFIG_GET`: a device's configuration.

use super::{
    attr,
    cmd,
    dump_devs,
    id,
    with_dev, //
};
use crate::{
    config::{
        lock_shared,
        Shared, //
    },
    device::Registered,
    genl::{
        Do,
        Dump,
        DumpRequest,
        Message,
        Request,
        Shortened, //
    }, //
};
use core::mem::offset_of;
use kernel::prelude::*;
use vdpa::{
    bindings::{
        self,
        virtio_blk_config,
        virtio_net_config, //
    },
    Features, //
};

/// `vdpa dev config show`
pub(super) struct Get;

impl Do for Get {
    fn run(request: &Request<'_>) -> Result {
        request.reply(cmd::DEV_CONFIG_GET, |msg| {
            with_dev(request, |managed| {
                let dev = managed.dev();

                if Layout::of(dev).is_none() {
                    return Err(request.refuse_attr(
                        attr::DEV_NAME,
                        EOPNOTSUPP,
                        fmt!(
                            "\"{}\" has device id {}; shown are net (1) and block (2)",
                            Shortened(dev.name()),
                            dev.device_id()
                        ),
                    ));
                }
                fill(msg, dev)
            })
        })
    }
}

impl Dump for Get {
    fn run(request: &mut DumpRequest<'_>) -> Result {
        dump_devs(request, cmd::DEV_CONFIG_GET, |msg, managed| {
            fill(msg, managed.dev())
        })
    }
}

/// The configurations that can be shown.
enum Layout {
    Net,
    Block,
}

impl Layout {
    fn of(dev: Registered<'_>) -> Option<Self> {
        match dev.device_id() {
            id::NET => Some(Self::Net),
            id::BLOCK => Some(Self::Block),
            _ => None,
        }
    }
}

fn fill(msg: &mut Message<'_>, dev: Registered<'_>) -> Result {
    let layout = Layout::of(dev).ok_or(EOPNOTSUPP)?;
    let locked = lock_shared(dev);

    msg.put_c_str(attr::DEV_NAME, dev.name())?;
    msg.put_u32(attr::DEV_ID, dev.device_id())?;
    if let Some(features) = locked.negotiated_features() {
        msg.put_u64(attr::DEV_NEGOTIATED_FEATURES, features.0, attr::PAD)?;
    }

    let features = dev.device_features();

    msg.put_u64(attr::DEV_FEATURES, features.0, attr::PAD)?;
    match layout {
        Layout::Net => fill_net(msg, features, &Config::read(&locked)),
        Layout::Block => fill_block(msg, features, &Config::read(&locked)),
    }
}

/// The beginning of a configuration space. All fields are little-endian.
struct Config<const N: usize>([u8; N]);

impl<const N: usize> Config<N> {
    fn read(locked: &Shared<'_>) -> Self {
        let mut config = [0; N];

        locked.read_config(0, &mut config);
        Self(config)
    }

    /// The bytes at an offset; zeroes behind the end.
    fn bytes<const LEN: usize>(&self, offset: usize) -> [u8; LEN] {
        self.0
            .get(offset..)
            .and_then(|rest| rest.first_chunk())
            .map_or([0; LEN], |bytes| *bytes)
    }

    fn u8(&self, offset: usize) -> u8 {
        u8::from_le_bytes(self.bytes(offset))
    }

    fn u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.bytes(offset))
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.bytes(offset))
    }
}

/// `struct virtio_net_config`: virtio 1.3, section 5.1.4.
type NetConfig = Config<{ size_of::<virtio_net_config>() }>;

/// `struct virtio_blk_config`: virtio 1.3, section 5.2.4.
type BlockConfig = Config<{ size_of::<virtio_blk_config>() }>;

fn fill_net(msg: &mut Message<'_>, features: Features, config: &NetConfig) -> Result {
    if features.has(bindings::VIRTIO_NET_F_MTU) {
        let mtu = config.u16(offset_of!(virtio_net_config, mtu));

        msg.put_u16(attr::DEV_NET_CFG_MTU, mtu)?;
    }
    if features.has(bindings::VIRTIO_NET_F_MAC) {
        let mac = config.bytes::<{ super::MAC_LEN }>(offset_of!(virtio_net_config, mac));

        msg.put_bytes(attr::DEV_NET_CFG_MACADDR, &mac)?;
    }
    if features.has(bindings::VIRTIO_NET_F_STATUS) {
        let status = config.u16(offset_of!(virtio_net_config, status));

        // The header says `u8`, but the kernel has always sent, and parsers expect, a `u16`.
        msg.put_u16(attr::DEV_NET_STATUS, status)?;
    }
    fill_net_pairs(
        msg,
        features,
        config.u16(offset_of!(virtio_net_config, max_virtqueue_pairs)),
    )
}

/// Adds the number of pairs of virtqueues, if the features say that there may be several.
fn fill_net_pairs(msg: &mut Message<'_>, features: Features, pairs: u16) -> Result {
    if has_pairs(features) {
        msg.put_u16(attr::DEV_NET_CFG_MAX_VQP, pairs)?;
    }
    Ok(())
}

/// Whether there may be several pairs of virtqueues, whose number is in the configuration space
/// then (virtio 1.3, section 5.1.4).
fn has_pairs(features: Features) -> bool {
    features.has(bindings::VIRTIO_NET_F_MQ) || features.has(bindings::VIRTIO_NET_F_RSS)
}

/// Adds what statistics begin with: the negotiated features, and the number of pairs of virtqueues.
///
/// The latter is there even if it can only be 1. Parsers that do not find it take it for 0, and
/// virtqueue 0 for the control queue.
pub(super) fn fill_net_negotiated(
    msg: &mut Message<'_>,
    locked: &Shared<'_>,
    features: Features,
) -> Result {
    let config: NetConfig = Config::read(locked);
    let pairs = if has_pairs(features) {
        config.u16(offset_of!(virtio_net_config, max_virtqueue_pairs))
    } else {
        1
    };

    msg.put_u64(attr::DEV_NEGOTIATED_FEATURES, features.0, attr::PAD)?;
    msg.put_u16(attr::DEV_NET_CFG_MAX_VQP, pairs)
}

fn fill_block(msg: &mut Message<'_>, features: Features, config: &BlockConfig) -> Result {
    let capacity = config.u64(offset_of!(virtio_blk_config, capacity));

    msg.put_u64(attr::DEV_BLK_CFG_CAPACITY, capacity, attr::PAD)?;
    fill_block_sizes(msg, features, config)?;
    fill_block_topology(msg, features, config)?;
    fill_block_discard(msg, features, config)?;
    fill_block_write_zeroes(msg, features, config)?;

    let read_only = features.has(bindings::VIRTIO_BLK_F_RO);
    let flush = features.has(bindings::VIRTIO_BLK_F_FLUSH);

    msg.put_u8(attr::DEV_BLK_READ_ONLY, read_only.into())?;
    msg.put_u8(attr::DEV_BLK_FLUSH, flush.into())
}

fn fill_block_sizes(msg: &mut Message<'_>, features: Features, config: &BlockConfig) -> Result {
    if features.has(bindings::VIRTIO_BLK_F_SIZE_MAX) {
        let size_max = config.u32(offset_of!(virtio_blk_config, size_max));

        msg.put_u32(attr::DEV_BLK_CFG_SIZE_MAX, size_max)?;
    }
    if features.has(bindings::VIRTIO_BLK_F_BLK_SIZE) {
        let blk_size = config.u32(offset_of!(virtio_blk_config, blk_size));

        msg.put_u32(attr::DEV_BLK_CFG_BLK_SIZE, blk_size)?;
    }
    if features.has(bindings::VIRTIO_BLK_F_SEG_MAX) {
        let seg_max = config.u32(offset_of!(virtio_blk_config, seg_max));

        msg.put_u32(attr::DEV_BLK_CFG_SEG_MAX, seg_max)?;
    }
    if features.has(bindings::VIRTIO_BLK_F_MQ) {
        let num_queues = config.u16(offset_of!(virtio_blk_config, num_queues));

        msg.put_u16(attr::DEV_BLK_CFG_NUM_QUEUES, num_queues)?;
    }
    Ok(())
}

fn fill_block_topology(msg: &mut Message<'_>, features: Features, config: &BlockConfig) -> Result {
    if !features.has(bindings::VIRTIO_BLK_F_TOPOLOGY) {
        return Ok(());
    }

    let physical_block_exp = config.u8(offset_of!(virtio_blk_config, physical_block_exp));
    let alignment_offset = config.u8(offset_of!(virtio_blk_config, alignment_offset));
    let min_io_size = config.u16(offset_of!(virtio_blk_config, min_io_size));
    let opt_io_size = config.u32(offset_of!(virtio_blk_config, opt_io_size));

    msg.put_u8(attr::DEV_BLK_CFG_PHY_BLK_EXP, physical_block_exp)?;
    msg.put_u8(attr::DEV_BLK_CFG_ALIGN_OFFSET, alignment_offset)?;
    msg.put_u16(attr::DEV_BLK_CFG_MIN_IO_SIZE, min_io_size)?;
    msg.put_u32(attr::DEV_BLK_CFG_OPT_IO_SIZE, opt_io_size)
}

fn fill_block_discard(msg: &mut Message<'_>, features: Features, config: &BlockConfig) -> Result {
    if !features.has(bindings::VIRTIO_BLK_F_DISCARD) {
        return Ok(());
    }

    let sectors = config.u32(offset_of!(virtio_blk_config, max_discard_sectors));
    let segments = config.u32(offset_of!(virtio_blk_config, max_discard_seg));
    let alignment = config.u32(offset_of!(virtio_blk_config, discard_sector_alignment));

    msg.put_u32(attr::DEV_BLK_CFG_MAX_DISCARD_SEC, sectors)?;
    msg.put_u32(attr::DEV_BLK_CFG_MAX_DISCARD_SEG, segments)?;
    msg.put_u32(attr::DEV_BLK_CFG_DISCARD_SEC_ALIGN, alignment)
}

fn fill_block_write_zeroes(
    msg: &mut Message<'_>,
    features: Features,
    config: &BlockConfig,
) -> Result {
    if !features.has(bindings::VIRTIO_BLK_F_WRITE_ZEROES) {
        return Ok(());
    }

    let sectors = config.u32(offset_of!(virtio_blk_config, max_write_zeroes_sectors));
    let segments = config.u32(offset_of!(virtio_blk_config, max_write_zeroes_seg));

    msg.put_u32(attr::DEV_BLK_CFG_MAX_WRITE_ZEROES_SEC, sectors)?;
    msg.put_u32(attr::DEV_BLK_CFG_MAX_WRITE_ZEROES_SEG, segments)
}
