//! Where the counters that live for ever end (spec/behaviour.md, section 11): far above what anybody reaches, so that nothing that
//! is added to one of them is too big, and a number that somebody made up is told from one that was counted.
//! And what a log may weigh, on its way and in memory.

use duohuo_wire::header::MAX_FRAME;
use duohuo_wire::ids::{Epoch, Height};

/// The last epoch: a generation of the group key, which is its epoch, has 32 bits, and the masters by epoch are kept for ever. At one
/// switch in 6.4 s, as fast as hold-down lets a cluster go on, it is reached after 871 years (B-TAB-9).
pub const LAST_EPOCH: Epoch = Epoch(u32::MAX as u64);

/// The last height: at a block a millisecond it is reached after 146 million years (CH-14).
pub const LAST_HEIGHT: Height = Height((1 << 62) - 1);

/// Above the last index of a log (B-LOG-9).
pub const LOG_END: u64 = 1 << 62;

/// Bytes of records in one packet of a log: as many as a frame of the stream holds beside header, seal and fixed part.
pub const LOG_PACKET_BYTES: usize = MAX_FRAME as usize - 1_024;

/// What a node keeps of a log that comes in parts (B-LOG-12): some fifteen blocks of the greatest size at one height.
pub const LOG_PARTS_BYTES: usize = 64 << 20;
