//! What a seed stands for: a layout, settings, luck, and faults at their times (swarm testing: each run has some kinds
//! of faults and not others, so that none hides another for ever).

use crate::consortium::Place;
use crate::faults::{Fault, Kind};
use crate::host::Settings;
use crate::world::Luck;
use core::time::Duration;
use duohuo_chain::Timing;
use duohuo_core::lease::LeaseTerms;
use duohuo_core::outside::OutsideConfig;
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
    /// Whether the cryptography has stand-ins ([`duohuo_wire::memory`]), or all of it is computed.
    pub remembers: bool,
}

/// For so long faults fall in a run of each pace.
const SLOW_SPAN: Duration = Duration::from_secs(600);
const FAST_SPAN: Duration = Duration::from_secs(20);

/// How fast the timers of a run are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Keepalives each 500 ms to 2 s, and ten minutes.
    Slow,
    /// Keepalives each 10 to 50 ms, and twenty seconds.
    Fast,
}

impl Pace {
    /// One seed in sixteen is fast.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        if seed % 16 == 8 { Self::Fast } else { Self::Slow }
    }
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
    Kind::LaterVersion,
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
        // The slower the timers, the more virtual time a second of work buys: most runs are slow and long.
        let pace = Pace::of(seed);
        let (keepalive, block_interval, span) = match pace {
            Pace::Slow => {
                let keepalive = dice.one_of(&[500, 1000, 1000, 1000, 2000, 2000, 2000, 2000]);
                (keepalive, dice.one_of(&[1000, 2000, 4000]), SLOW_SPAN)
            }
            Pace::Fast => {
                let keepalive = dice.one_of(&[10, 20, 50]);
                (keepalive, keepalive, FAST_SPAN)
            }
        };
        let ms = Duration::from_millis;
        let mut timing = Timing { block_interval: ms(block_interval), ..Timing::default() };
        if pace == Pace::Slow {
            timing.propose_timeout = ms(1000);
            (timing.vote_timeout, timing.timeout_delta) = (ms(400), ms(400));
            timing.rebroadcast_interval = ms(2000);
        }
        // Two of three runs act outside the chain, too; the drift bound is that of the fault `clock-rate`: 1.3 to 0.7.
        let outside = OutsideConfig {
            lease: LeaseTerms { span: ms(keepalive) * 20, margin: ms(keepalive) * 5, drift_ppm: 858_000 },
            has_copy: false,
            has_cover: false,
        };
        let outside = (!seed.is_multiple_of(3)).then_some(outside);
        let mut settings = Settings { keepalive: ms(keepalive), timing, outside, ..Settings::default() };
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
        while at < span {
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
            let mid_word = dice.below(2) == 0;
            faults.push(Fault { at, kind: *kind, whom, more, span, mid_word });
            let pause = u32::try_from(dice.one_of(&[0, 0, 1, 3, 10, 40])).unwrap_or(1);
            at += unit * pause + us(dice.below(5000));
        }
        // Without a throw of the dice, so that a seed's run is what it was.
        settings.mixed_versions = seed % 4 == 1;
        if seed % 8 == 6 {
            // Nearly every log takes several parts, and most Appends several packets.
            settings.log_packet_bytes = 300;
        }
        let rate = Duration::from_millis((block_interval / dice.one_of(&[1, 1, 2, 4])).max(5));
        let remembers = !seed.is_multiple_of(256);
        // Drawn last, so that a seed's faults are what they were.
        settings.timing.snapshot_interval = dice.one_of(&[0, 7, 25, 100, 1_000]);
        settings.keep_blocks = dice.one_of(&[0, 3, 20, 100_000]);
        // Orders come among the faults, in two of three runs; a pause lasts no longer than a fault does.
        for _ in 0..dice.one_of(&[0, 3, 10]) {
            let kind = dice.one_of(&[
                Kind::OrderedSwitch,
                Kind::OrderedSwitch,
                Kind::OrderedPause,
                Kind::OrderedUnbar,
            ]);
            let order_at =
                unit * 80 + Duration::from_millis(dice.below(u64::try_from(span.as_millis()).unwrap_or(0)));
            let factor = u32::try_from(dice.one_of(&[1, 5, 20, 50])).unwrap_or(1);
            let (whom, more) = (dice.below(u64::MAX), dice.below(u64::MAX));
            let mid_word = dice.below(2) == 0;
            faults.push(Fault { at: order_at.min(at), kind, whom, more, span: unit * factor, mid_word });
        }
        // In half of the runs whole in-sync sets are lost, and starts forced.
        for _ in 0..dice.one_of(&[0, 0, 0, 1, 2, 4]) {
            let order_at =
                unit * 80 + Duration::from_millis(dice.below(u64::try_from(span.as_millis()).unwrap_or(0)));
            let factor = u32::try_from(dice.one_of(&[1, 20, 100])).unwrap_or(1);
            let (whom, more) = (dice.below(u64::MAX), dice.below(u64::MAX));
            let (at, kind, span) = (order_at.min(at), Kind::OrderedForce, unit * factor);
            faults.push(Fault { at, kind, whom, more, span, mid_word: dice.below(2) == 0 });
        }
        faults.sort_by_key(|fault| fault.at);
        Self { seed, layout, settings, luck, rate, faults, end: at + unit * 20, remembers }
    }
}
