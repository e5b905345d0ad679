//! The time as the machines are told it: CLOCK_BOOTTIME, which runs through suspend, and a timer with its precision.

use crate::error::DriverError;
use duohuo_core::{Duration, Instant};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

/// Now. `Instant::ZERO` is the boot of the machine.
#[must_use]
pub fn now() -> Instant {
    Instant::from_nanos(nanos(clock_gettime(ClockId::Boottime)))
}

/// Unix time at `Instant::ZERO`, by today's opinion of the system clock.
#[must_use]
pub fn unix_at_zero() -> Duration {
    let unix = Duration::from_nanos(nanos(clock_gettime(ClockId::Realtime)));
    unix.saturating_sub(Duration::from_nanos(now().as_nanos()))
}

fn nanos(t: Timespec) -> u64 {
    let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(t.tv_nsec).unwrap_or(0))
}

/// One absolute alarm on the same clock. mio rounds the time-out of a poll up to whole milliseconds; a timerfd does not.
#[derive(Debug)]
pub struct Alarm {
    fd: OwnedFd,
    armed: Option<Instant>,
}

impl Alarm {
    /// An alarm that is not set, registered under `token`.
    ///
    /// # Errors
    /// The system has no more file descriptors.
    pub fn new(registry: &Registry, token: Token) -> Result<Self, DriverError> {
        let fd = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
            .map_err(|e| DriverError::system("timerfd_create", e.into()))?;
        registry
            .register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)
            .map_err(|e| DriverError::system("epoll_ctl(timerfd)", e))?;
        Ok(Self { fd, armed: None })
    }

    /// Ring at `at` (`None`: not at all); an instant in the past rings at once.
    ///
    /// # Errors
    /// Those of timerfd_settime.
    pub fn set(&mut self, at: Option<Instant>) -> Result<(), DriverError> {
        if self.armed == at {
            return Ok(());
        }
        self.armed = at;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = at.map_or(zero, |at| {
            // zero would disarm
            let nanos = at.as_nanos().max(1);
            Timespec {
                tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
            }
        });
        timerfd_settime(
            &self.fd,
            TimerfdTimerFlags::ABSTIME,
            &Itimerspec { it_interval: zero, it_value: value },
        )
        .map_err(|e| DriverError::system("timerfd_settime", e.into()))?;
        Ok(())
    }

    /// It rang: take note, so that it can ring again.
    pub fn rang(&mut self) {
        let mut count = [0u8; 8];
        // an error can only be EAGAIN: somebody set it anew in between
        let _ = rustix::io::read(&self.fd, &mut count);
        self.armed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};

    #[test]
    fn an_alarm_rings_at_its_time_within_a_few_milliseconds_and_not_before() {
        let mut poll = Poll::new().expect("poll");
        let mut alarm = Alarm::new(poll.registry(), Token(7)).expect("alarm");
        let at = now() + Duration::from_micros(1500);
        alarm.set(Some(at)).expect("set");
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(std::time::Duration::from_secs(5))).expect("poll");
        let late = now().saturating_since(at);
        assert!(now() >= at);
        assert!(late < Duration::from_millis(500), "{late:?}");
        assert_eq!(events.iter().map(mio::event::Event::token).collect::<Vec<_>>(), [Token(7)]);
        alarm.rang();
        poll.poll(&mut events, Some(std::time::Duration::from_millis(5))).expect("poll");
        assert!(events.is_empty());
    }
}
