//! The observer: one session with every node and the authority, all events, and a report ten times a second.

use crate::access::{Access, Server};
use crate::picture::Picture;
use duohuo_driver::client::{Client, ClientError};
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::{Event, Packet, StatusQuery, Watch};
use duohuo_wire::status::StatusReport;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const REDIAL_INTERVAL: Duration = Duration::from_millis(40);
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// Is told each event, with its teller.
pub type Told = Arc<dyn Fn(NodeId, &Event) + Send + Sync>;

/// All sessions; new nodes can be added.
pub struct Observer {
    access: Arc<Access>,
    picture: Arc<Picture>,
    told: Told,
    stop: Arc<AtomicBool>,
    watched: BTreeSet<NodeId>,
    threads: Vec<JoinHandle<()>>,
}

impl Observer {
    /// Sees nobody yet; what it learns goes to `picture` and `told`.
    #[must_use]
    pub fn new(access: Access, picture: Arc<Picture>, told: Told) -> Self {
        let access = Arc::new(access);
        Self { access, picture, told, stop: Arc::default(), watched: BTreeSet::new(), threads: Vec::new() }
    }

    /// Watch this one from now on, through all its deaths.
    pub fn watch(&mut self, server: Server) {
        if !self.watched.insert(server.id) {
            return;
        }
        let (access, picture, told, stop) = (
            Arc::clone(&self.access),
            Arc::clone(&self.picture),
            Arc::clone(&self.told),
            Arc::clone(&self.stop),
        );
        self.threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Ok(client) = access.connect(&server, CONNECT_TIMEOUT) {
                    picture.view().connected(server.id, true);
                    // it ends when the node does
                    let _ = follow(client, server.id, &picture, &told, &stop);
                    picture.view().connected(server.id, false);
                }
                std::thread::sleep(REDIAL_INTERVAL);
            }
        }));
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn follow(
    mut client: Client,
    id: NodeId,
    picture: &Picture,
    told: &Told,
    stop: &AtomicBool,
) -> Result<(), ClientError> {
    client.send(&Packet::from(Watch { request: 1, kinds: u32::MAX, ..Default::default() }))?;
    let mut ask_at = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now >= ask_at {
            client.send(&Packet::from(StatusQuery { request: 2, ..Default::default() }))?;
            ask_at = now + REPORT_INTERVAL;
        }
        match client.recv(ask_at.saturating_duration_since(now))? {
            Some(Packet::Event(event)) => {
                picture.view().event(id, &event);
                told(id, &event);
            }
            Some(Packet::StatusAnswer(answer)) => {
                if let Ok(report) = StatusReport::decode(&answer.report) {
                    picture.view().report(id, report);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
