//! What systemd is told: that the process is ready, that its loop still turns, what it does, that it stops. Told by a
//! thread of its own from what the loop shows: a loop that hangs is told by nobody, and systemd ends it.

use crate::status::role_name;
use duohuo_driver::board::Board;
use duohuo_wire::ids::NodeId;
use sd_notify::NotifyState;
use std::time::Duration;

/// Without a watchdog of systemd's: how often the status line is renewed.
const PAUSE: Duration = Duration::from_secs(1);
/// Until the loop turns for the first time: replaying a store may take long.
const STARTING: Duration = Duration::from_millis(20);

/// Begin, if systemd started us; else nothing happens.
pub(crate) fn start(board: Board) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    std::thread::spawn(move || keep(&board, watchdog));
}

fn keep(board: &Board, watchdog: Option<Duration>) {
    while board.idle().is_none() {
        std::thread::sleep(STARTING);
    }
    tell(&[NotifyState::Ready]);
    let pause = watchdog.map_or(PAUSE, |w| w / 4);
    // a loop that did not turn for half the watchdog's span is not vouched for
    let most = watchdog.map_or(PAUSE * 10, |w| w / 2);
    loop {
        if board.idle().is_some_and(|idle| idle <= most) {
            let status = status(board);
            tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
        }
        std::thread::sleep(pause);
    }
}

/// It stops in good order.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    // systemd may have gone; the process does not need it
    let _ = sd_notify::notify(state);
}

fn status(board: &Board) -> String {
    let snapshot = board.look();
    let r = &snapshot.report;
    if r.node == NodeId::AUTHORITY {
        return format!("authority, {} clusters registered", r.rows.len());
    }
    format!(
        "{}, epoch {}, height {}{}",
        role_name(r),
        r.epoch.0,
        r.height.0,
        if r.halted { ", HALTED" } else { "" }
    )
}
