//! What the operator says by signals, and who it was, as far as the kernel tells.

use crate::acts::UNTOLD;
use crate::error::DriverError;
use crate::signalled::Signalled;
use crate::socket::Caller;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::exfiltrator::origin::Origin;

/// One order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// SIGTERM, SIGINT: stop in good order.
    Stop,
    /// SIGHUP: there is a new roster.
    Reload,
    /// SIGUSR1: a drill, compute wrong results from now on, or no longer (REC-3).
    ToggleWrongResults,
}

/// The signals of this process.
pub(crate) struct Orders(SignalDelivery<UnixStream, WithOrigin>);

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
    pub(crate) fn listen(registry: &Registry, token: Token) -> Result<Self, DriverError> {
        let (read, write) = UnixStream::pair().map_err(|e| DriverError::system("socketpair", e))?;
        // SIGXFSZ would kill us at a limit on file sizes; taken over, the write fails as on a full disk, and we resign
        let signals = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGXFSZ];
        let mut delivery = SignalDelivery::with_pipe(read, write, WithOrigin::default(), signals)
            .map_err(|e| DriverError::system("sigaction", e))?;
        registry
            .register(delivery.get_read_mut(), token, Interest::READABLE)
            .map_err(|e| DriverError::system("epoll_ctl(signals)", e))?;
        Ok(Self(delivery))
    }

    /// The orders that came, and who gave each.
    pub(crate) fn pending(&mut self) -> Vec<(Order, Signalled)> {
        self.0.pending().filter_map(|origin| understood(&origin)).collect()
    }
}

fn understood(origin: &Origin) -> Option<(Order, Signalled)> {
    let (order, what, name) = match origin.signal {
        SIGTERM => (Order::Stop, "stop", "TERM"),
        SIGINT => (Order::Stop, "stop", "INT"),
        SIGHUP => (Order::Reload, "reload", "HUP"),
        SIGUSR1 => (Order::ToggleWrongResults, "wrong_results", "USR1"),
        _ => return None,
    };
    // A terminal's signals are the kernel's: nobody is named.
    let caller = origin.process.map_or(Caller { user: UNTOLD, group: UNTOLD, process: 0 }, |process| {
        Caller { user: process.uid, group: UNTOLD, process: process.pid }
    });
    let by = program(caller.process).map_or_else(String::new, |program| format!(" from {program}"));
    let why = format!("signal {name}{by}");
    Some((order, Signalled { what, why, caller, stops: order == Order::Stop }))
}

/// What runs under that number now, which is most often what sent the signal.
fn program(process: i32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    Some(name.trim_end().to_owned()).filter(|name| !name.is_empty())
}
