//! Hooks: an existing service, run by the operator's programs as the node's machine says (spec/hooks.md).
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | the keys of the configuration |
//! | `runner.rs` | which program runs now, as a pure machine |
//! | `keeper.rs` | the process that runs them, and ends what acts when the node is silent, stopped or dead |
//! | `fifo.rs` | keepalived's lines |
//! | `talk.rs` | the lines between node and keeper |
//! | `link.rs` | the node's end of it |
//! | `words.rs` | what the service says to the node, and is answered |
//! | `shown.rs` | what of all that is shown to those who look |

mod fifo;
pub mod keeper;
mod link;
mod runner;
pub mod settings;
pub mod shown;
mod talk;
pub(crate) mod words;

pub use talk::Charge;
pub use words::heard;

use crate::error::DriverError;
use crate::socket::{Admitted, Asked, Socket};
use duohuo_core::io::{Machine, Output};
use duohuo_core::outside::Report;
use duohuo_core::{Duration, Instant};
use link::Link;
use mio::{Registry, Token, Waker};
use std::collections::BTreeMap;
use words::{Answer, Lease, Request, Todo};

/// The loop's side of it all.
#[derive(Debug)]
pub struct Hooks {
    link: Link,
    socket: Option<Socket<Request>>,
    lease: Option<Lease>,
    /// Questions that the machine answers.
    asked: BTreeMap<u64, Asked<Request>>,
    token: u64,
    /// Answers since they were last shown.
    answers: Vec<&'static str>,
}

impl Hooks {
    /// Start the keeper, and listen at the socket if there is to be one.
    ///
    /// # Errors
    /// See [`DriverError`].
    pub fn start(
        registry: &Registry,
        keeper: Token,
        words: Token,
        charge: Charge,
    ) -> Result<Self, DriverError> {
        let listen = |path: &std::path::PathBuf| {
            let waker = Waker::new(registry, words).map_err(|e| DriverError::system("eventfd", e))?;
            let wrong = |source| DriverError::LocalSocket { path: path.clone(), key: "hooks.socket", source };
            Socket::listen(path, waker, Admitted::default(), None).map_err(wrong)
        };
        let socket = charge.settings.socket.as_ref().map(listen).transpose()?;
        let link = Link::start(registry, keeper, charge)?;
        Ok(Self { link, socket, lease: None, asked: BTreeMap::new(), token: 0, answers: Vec::new() })
    }

    /// How long an orderly end may take.
    #[must_use]
    pub fn margin(&self) -> Duration {
        self.link.margin()
    }

    /// Whether the keeper was lost again and again.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.link.is_given_up()
    }

    /// What it may do now outside the chain.
    pub(crate) const fn lease(&self) -> Option<Lease> {
        self.lease
    }

    /// When [`Hooks::run`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.link.poll_timeout()
    }

    /// Whether the keeper was lost since the last call; it is started again if it is time.
    pub fn run(&mut self, now: Instant) -> bool {
        self.link.run(now)
    }

    /// What the keeper reported.
    pub fn reports(&mut self) -> Vec<Report> {
        self.link.reports()
    }

    /// The next word of the service's for the machine; what can be answered without it is.
    pub fn next_word(&mut self, machine: &dyn Machine, now: Instant) -> Option<Report> {
        loop {
            let asked = self.socket.as_ref()?.next()?;
            match words::consider(&asked.request, machine, self.lease, now) {
                Todo::Done(answer) => self.answer(&asked, answer),
                Todo::Ask(word) => {
                    self.token += 1;
                    self.asked.insert(self.token, asked);
                    return Some(Report::Word { token: self.token, word });
                }
            }
        }
    }

    fn answer(&mut self, asked: &Asked<Request>, answer: Answer) {
        self.answers.push(answer.answer);
        // an error: whoever asked is gone
        let _ = asked.reply.try_send(answer);
    }

    /// Carry out what the machine wants; anything else is not ours.
    pub fn carry_out(&mut self, output: &Output) {
        match output {
            Output::Act { epoch, stop_at, until } => {
                self.lease = Some(Lease { epoch: *epoch, stop_at: *stop_at, until: *until });
            }
            Output::StopActing => self.lease = None,
            Output::Answer { token, answer } => {
                if let Some(asked) = self.asked.remove(token) {
                    self.answer(&asked, Answer::of(*answer));
                }
                return;
            }
            _ => {}
        }
        self.link.carry_out(output);
    }

    /// For those who look.
    pub fn show(&mut self, shown: &mut shown::Shown) {
        shown.until = self.lease.map(|lease| lease.until);
        self.answers.drain(..).for_each(|answer| shown.answered(answer));
    }
}
