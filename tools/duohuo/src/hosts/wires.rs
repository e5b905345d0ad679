//! The network: one bridge per room, one in the middle, a veth pair from each room to the middle, and hosts as network
//! namespaces with a wire into their room. A second wire of each host goes to a bridge that no node uses: over it the
//! observer sees everybody, whatever is cut.
//!
//! ```text
//!   A1 --+                                   +-- authority
//!   B2 --+-- room1 --down1===up1-- core --up9===down9-- room9
//! ```

use super::cell::run;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

/// UDP and TCP port of everybody.
pub const PORT: u16 = 4750;

/// A machine in a room.
#[derive(Clone, Debug)]
pub struct Host {
    /// Of the namespace, too.
    pub name: String,
    /// Where it stands.
    pub room: u8,
    /// Last part of its address, 1..=254.
    pub number: u8,
}

impl Host {
    /// Where nodes reach it.
    pub const fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.room, self.number)
    }

    /// Where only the observer's wire leads.
    const fn back_door(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.room, self.number)
    }

    /// The command that starts another one on it.
    pub fn enter(&self) -> [String; 3] {
        ["nsenter".into(), format!("--net=/run/netns/{}", self.name), "--".into()]
    }
}

/// The address of a node, as a layout wants it.
pub fn node_address(room: u16, cluster: u8, position: u8) -> SocketAddr {
    let room = u8::try_from(room).unwrap_or(u8::MAX);
    SocketAddr::from((Ipv4Addr::new(10, 77, room, cluster * 10 + position), PORT))
}

/// Which way frames go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the room to the others.
    Out,
    /// From the others into the room.
    In,
}

impl Way {
    /// The device at which frames of this way come in.
    fn device(self, room: u8) -> String {
        match self {
            Self::Out => format!("up{room}"),
            Self::In => format!("down{room}"),
        }
    }
}

/// Lay all wires.
pub fn lay(rooms: &[u8]) -> Result<(), String> {
    let mut batch = String::new();
    for bridge in ["core", "back"] {
        add_bridge(&mut batch, bridge);
    }
    // writing to a string cannot fail
    let _ = writeln!(batch, "address add 10.99.0.1/16 dev back");
    for room in rooms {
        add_bridge(&mut batch, &format!("room{room}"));
        let _ = writeln!(
            batch,
            "link add up{room} type veth peer name down{room}\nlink set up{room} master core up\nlink set down{room} master room{room} up"
        );
    }
    run("ip", &["-batch", "-"], &batch)?;
    run("nft", &["-f", "-"], "add table netdev faults")
}

fn add_bridge(batch: &mut String, name: &str) {
    let _ = writeln!(batch, "link add {name} type bridge mcast_snooping 0\nlink set {name} up");
}

/// Put a machine into its room.
pub fn plug_in(host: &Host) -> Result<(), String> {
    let Host { name, room, .. } = host;
    let (address, back_door) = (host.address(), host.back_door());
    run("ip", &["netns", "add", name], "")?;
    run(
        "ip",
        &["-batch", "-"],
        &format!(
            "link add {name} type veth peer name eth0 netns {name}\nlink set {name} master room{room} up\n\
             link add {name}-back type veth peer name back netns {name}\nlink set {name}-back master back up\n\
             route add {address}/32 via {back_door}\n"
        ),
    )?;
    run(
        "ip",
        &["-netns", name, "-batch", "-"],
        &format!(
            "link set lo up\naddress add {address}/16 dev eth0\naddress add {back_door}/16 dev back\n\
             link set eth0 up\nlink set back up\nroute add 224.0.0.0/4 dev eth0\n"
        ),
    )
}

/// Pull a room's cable.
pub fn cut(room: u8) -> Result<(), String> {
    run("ip", &["link", "set", &format!("down{room}"), "down"], "")
}

/// A host's own cable is whole, or pulled.
///
/// # Errors
/// The kernel's.
pub fn link(host: &Host, whole: bool) -> Result<(), String> {
    run("ip", &["link", "set", &host.name, if whole { "up" } else { "down" }], "")
}

/// Drop what comes this way.
pub fn cut_one_way(room: u8, way: Way) -> Result<(), String> {
    filter(room, way, "drop")
}

/// Drop so many percent of what comes this way.
pub fn lose(room: u8, way: Way, percent: u8) -> Result<(), String> {
    filter(room, way, &format!("numgen random mod 100 < {percent} drop"))
}

/// Two rooms do not see each other, and both see all the others.
pub fn separate(a: u8, b: u8) -> Result<(), String> {
    filter(a, Way::In, &format!("ip saddr 10.77.{b}.0/24 drop"))?;
    filter(b, Way::In, &format!("ip saddr 10.77.{a}.0/24 drop"))
}

fn filter(room: u8, way: Way, rule: &str) -> Result<(), String> {
    let device = way.device(room);
    run(
        "nft",
        &["-f", "-"],
        &format!(
            "add chain netdev faults {device} {{ type filter hook ingress device \"{device}\" priority 0; }}\n\
             add rule netdev faults {device} {rule}\n"
        ),
    )
}

/// A room's cable takes so many kilobits a second in each direction; what is above waits up to 50 ms, then is lost.
pub fn narrow(room: u8, kilobits: u32) -> Result<(), String> {
    let rate = format!("{kilobits}kbit");
    for device in [Way::Out.device(room), Way::In.device(room)] {
        let bucket = [
            "qdisc", "replace", "dev", &device, "root", "tbf", "rate", &rate, "burst", "4kb", "latency",
            "50ms",
        ];
        run("tc", &bucket, "")?;
    }
    Ok(())
}

/// All cables as they were laid.
pub fn heal(rooms: &[u8]) -> Result<(), String> {
    run("nft", &["-f", "-"], "flush ruleset\nadd table netdev faults")?;
    for room in rooms {
        run("ip", &["link", "set", &Way::In.device(*room), "up"], "")?;
        for device in [Way::Out.device(*room), Way::In.device(*room)] {
            // an error: it was never narrow
            let _ = run("tc", &["qdisc", "delete", "dev", &device, "root"], "");
        }
    }
    Ok(())
}
