//! What the operator says by signals.

use crate::error::DriverError;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook_mio::v1_0::Signals;

/// One order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// SIGTERM, SIGINT: stop in good order.
    Stop,
    /// SIGHUP: there is a new roster.
    Reload,
    /// SIGUSR1: a drill, compute wrong results from now on, or no longer (REC-3).
    ToggleWrongResults,
}

/// The signals of this process.
pub struct Orders(Signals);

impl std::fmt::Debug for Orders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Orders")
    }
}

impl Orders {
    /// Take over the signals; they come as readiness of `token`.
    ///
    /// # Errors
    /// The system has no more file descriptors.
    pub fn listen(registry: &Registry, token: Token) -> Result<Self, DriverError> {
        // SIGXFSZ would kill us at a limit on file sizes; taken over, the write fails as on a full disk, and we resign
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGXFSZ])
            .map_err(|e| DriverError::system("sigaction", e))?;
        registry
            .register(&mut signals, token, Interest::READABLE)
            .map_err(|e| DriverError::system("epoll_ctl(signals)", e))?;
        Ok(Self(signals))
    }

    /// The orders that came.
    pub fn pending(&mut self) -> Vec<Order> {
        self.0
            .pending()
            .filter_map(|signal| match signal {
                SIGTERM | SIGINT => Some(Order::Stop),
                SIGHUP => Some(Order::Reload),
                SIGUSR1 => Some(Order::ToggleWrongResults),
                _ => None,
            })
            .collect()
    }
}
