//! What a seed stands for: a layout, settings, luck, and faults at their times (swarm testing: each run has some kinds
//! of faults and not others, so that none hides another for ever).

use crate::consortium::Place;
use crate::faults::{Fault, Kind};
use crate::host::Settings;
use crate::world::Luck;
use core::time::Duration;
use duohuo_chain::Timing;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// A run, drawn from a seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Rooms and priorities of the nodes of each cluster.
    pub layout: Vec<Vec<Place>>,
    /// What the machines are told.
    pub settings: Settings,
    /// Luck of the network and the disks while faults last.
    pub luck: Luck,
    /// Between two transfers of the client.
    pub rate: Duration,
    /// In order of time.
    pub faults: Vec<Fault>,
    /// When the faults stop.
    pub end: Duration,
}

struct Dice(ChaCha12Rng);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n.max(1)
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap_or(0)]
    }
}

/// Kinds that a plan puts at a time; the others are luck.
const TIMED: &[Kind] = &[
    Kind::Slow,
    Kind::OneWay,
    Kind::Cut,
    Kind::Flap,
    Kind::NoMulticast,
    Kind::Narrow,
    Kind::Clog,
    Kind::Flood,
    Kind::ClockRate,
    Kind::WallClock,
    Kind::VmPause,
    Kind::Pause,
    Kind::CrashAtOutput,
    Kind::CrashLoop,
    Kind::ShutDown,
    Kind::LateStart,
    Kind::Enrol,
    Kind::NoDescriptors,
    Kind::SlowDisk,
    Kind::FullDisk,
    Kind::AuthorityAway,
    Kind::AuthorityCrash,
    Kind::Slander,
    Kind::WrongResults,
    Kind::RoomDark,
    Kind::MasterAndStandby,
    Kind::MostRoomsDark,
    Kind::Reset,
    Kind::Kill,
    Kind::Busy,
];

impl Plan {
    /// The run of this seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice(ChaCha12Rng::seed_from_u64(seed ^ 0x0064_756f_6875_6f00));
        let us = Duration::from_micros;
        let clusters = dice.one_of(&[4, 4, 4, 5, 7]);
        let rooms = dice.one_of(&[2, 3, 4, 4]);
        let layout: Vec<Vec<Place>> = (0..clusters)
            .map(|c| {
                let nodes = 2 + dice.below(if clusters > 5 { 2 } else { 4 });
                (0..nodes)
                    .map(|n| {
                        let room = u16::try_from((c + n) % rooms + 1).unwrap_or(1);
                        (room, u8::try_from(200 - 40 * n).unwrap_or(1))
                    })
                    .collect()
            })
            .collect();
        // The slower the keepalives, the more virtual time a second of work buys.
        let keepalive = dice.one_of(&[10, 20, 50, 100, 200, 500]);
        let pace = u32::try_from(keepalive / 10).unwrap_or(1);
        let timing = Timing { block_interval: Timing::default().block_interval * pace, ..Timing::default() };
        let settings = Settings { keepalive: Duration::from_millis(keepalive), timing };
        let delay = 20 + dice.one_of(&[100, 500, 1500]);
        let luck = Luck {
            loss: dice.one_of(&[0, 0, 10, 50, 200]),
            duplication: dice.one_of(&[0, 20, 200]),
            replay: dice.one_of(&[0, 0, 50, 300]),
            corruption: dice.one_of(&[0, 0, 30]),
            astray: dice.one_of(&[0, 0, 20]),
            delay: (us(20), us(20 + dice.below(delay))),
            disk: (us(50), us(100 + dice.below(4000))),
        };
        // Half of the kinds, each with its own weight.
        let weights: Vec<(Kind, u64)> =
            TIMED.iter().map(|kind| (*kind, dice.below(2) * (1 + dice.below(4)))).collect();
        let sum: u64 = weights.iter().map(|(_, weight)| weight).sum();
        let unit = Duration::from_millis(keepalive);
        let mut at = unit * 80;
        let mut faults = Vec::new();
        for _ in 0..8 + dice.below(20) {
            let mut ticket = dice.below(sum);
            let drawn = weights.iter().find(|(_, weight)| {
                let hit = ticket < *weight;
                ticket = ticket.saturating_sub(*weight);
                hit
            });
            let Some((kind, _)) = drawn else { break };
            let factor = u32::try_from(dice.one_of(&[1, 2, 5, 10, 20, 50, 100])).unwrap_or(1);
            let (whom, more) = (dice.below(u64::MAX), dice.below(u64::MAX));
            let span = unit * factor
                + us(dice.below(3000))
                + Duration::from_millis(if *kind == Kind::LateStart { 2000 } else { 0 });
            faults.push(Fault { at, kind: *kind, whom, more, span });
            at +=
                unit * u32::try_from(dice.one_of(&[0, 1, 2, 5, 10, 20])).unwrap_or(1) + us(dice.below(5000));
        }
        let rate = Duration::from_millis(5 * u64::from(pace));
        Self { seed, layout, settings, luck, rate, faults, end: at + unit * 20 }
    }
}
