//! Where a network's nodes stand: clusters over rooms, with addresses. From a file, or one of the patent's figures.

use duohuo_core::placement::{PlacedCluster, PlacedNode, Placement};
use duohuo_driver::config::{ConfigError, read_toml};
use duohuo_driver::roster_file;
use duohuo_wire::ids::RoomId;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// Clusters over rooms.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Where the authority listens.
    pub authority: SocketAddr,
    /// The room it stands in, for `duohuo layout check`; the network itself does not ask.
    pub authority_room: Option<u16>,
    /// In the order of their numbers.
    pub cluster: Vec<LayoutCluster>,
}

/// One cluster; ids follow from the order: cluster 1, 2 ..., its nodes 101, 102 ...
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayoutCluster {
    /// For people.
    pub name: String,
    /// Multicast.
    pub group: SocketAddr,
    /// In the order of their numbers.
    pub node: Vec<LayoutNode>,
}

/// One node.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayoutNode {
    /// For people.
    pub name: String,
    /// Which room.
    pub room: u16,
    /// Who leads first.
    pub priority: u8,
    /// UDP and TCP.
    pub address: SocketAddr,
}

/// What of a layout decides who survives what: rooms and priorities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// The authority's room in it is meaningless unless [`Placed::authority_room`] says it.
    pub placement: Placement,
    /// As the file says.
    pub authority_room: Option<u16>,
}

impl Placed {
    /// Read it from a layout or from a roster, whose signature is not looked at.
    ///
    /// # Errors
    /// The file cannot be read, or is neither.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let is_roster = toml::from_str::<toml::Table>(&text).is_ok_and(|t| t.contains_key("consortium"));
        if !is_roster {
            return Ok(Self::from(&Layout::read(path)?));
        }
        let roster = roster_file::read_unverified(path)?;
        let clusters = roster.clusters.iter().map(|c| PlacedCluster {
            name: c.name.clone(),
            nodes: c
                .nodes
                .iter()
                .map(|n| PlacedNode { name: n.name.clone(), room: n.room, priority: n.priority })
                .collect(),
        });
        let placement = Placement { authority: RoomId(0), clusters: clusters.collect() };
        Ok(Self { placement, authority_room: None })
    }
}

impl From<&Layout> for Placed {
    fn from(layout: &Layout) -> Self {
        let clusters = layout.cluster.iter().map(|c| PlacedCluster {
            name: c.name.clone(),
            nodes: c
                .node
                .iter()
                .map(|n| PlacedNode { name: n.name.clone(), room: RoomId(n.room), priority: n.priority })
                .collect(),
        });
        let placement =
            Placement { authority: RoomId(layout.authority_room.unwrap_or(0)), clusters: clusters.collect() };
        Self { placement, authority_room: layout.authority_room }
    }
}

/// Of the first master, the first standby, the ordinary nodes.
pub const PRIORITIES: [u8; 3] = [200, 150, 100];
/// Of a node that is added later.
pub const ADDED_PRIORITY: u8 = 50;

/// Fig. 18 (DEP-2): per cluster the rooms of master, standby, ordinary node.
pub const FOUR_COMPANIES: &[(&str, &[u16])] =
    &[("A", &[1, 3, 2]), ("B", &[2, 1, 4]), ("C", &[3, 4, 1]), ("D", &[4, 2, 3])];
/// Fig. 16 (DEP-1): per cluster the rooms of master and standby.
pub const TWO_COMPANIES: &[(&str, &[u16])] =
    &[("A", &[1, 2]), ("B", &[1, 2]), ("C", &[2, 1]), ("D", &[2, 1])];

impl Layout {
    /// Read a layout's file.
    ///
    /// # Errors
    /// It cannot be read, or is no layout.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let advice = "duohuo keygen network --help shows an example of a layout";
        let layout: Self = read_toml(path, advice)?;
        let mut taken: BTreeMap<SocketAddr, &str> = BTreeMap::from([(layout.authority, "the authority")]);
        for node in layout.cluster.iter().flat_map(|cluster| &cluster.node) {
            if let Some(other) = taken.insert(node.address, &node.name) {
                let wrong = format!("{} of {} is that of {other}, too", node.address, node.name);
                return Err(ConfigError::new(
                    path,
                    "`cluster.node.address`",
                    wrong,
                    "an address and port of its own for each",
                    "correct one of the two",
                ));
            }
        }
        Ok(layout)
    }

    /// Fig. 18 on loopback.
    pub fn four_companies(port: u16) -> Self {
        Self::on_loopback(FOUR_COMPANIES, port)
    }

    /// Fig. 16 on loopback.
    pub fn two_companies(port: u16) -> Self {
        Self::on_loopback(TWO_COMPANIES, port)
    }

    /// So many clusters of so many nodes, each node in another room, the first of each cluster in rooms 1, 2, ...
    pub fn spread(clusters: u8, nodes: u8, port: u16) -> Self {
        let rooms = u16::from(nodes.max(4));
        let cluster = (1..=clusters)
            .map(|c| {
                let rooms =
                    (0..u16::from(nodes)).map(|n| (u16::from(c) - 1 + n) % rooms + 1).collect::<Vec<_>>();
                placed_cluster(&format!("cluster {c}"), c, &rooms, port, &|room, cluster, position| {
                    loopback(room, cluster, position, port)
                })
            })
            .collect();
        Self { authority: authority(port), authority_room: None, cluster }
    }

    fn on_loopback(clusters: &[(&str, &[u16])], port: u16) -> Self {
        Self::placed(clusters, authority(port), |room, cluster, position| {
            loopback(room, cluster, position, port)
        })
    }

    /// Per cluster its name and the rooms of master, standby and ordinary nodes; each node at
    /// `address(room, cluster, position)`.
    pub fn placed(
        clusters: &[(&str, &[u16])],
        authority: SocketAddr,
        address: impl Fn(u16, u8, u8) -> SocketAddr,
    ) -> Self {
        let cluster = (1u8..)
            .zip(clusters)
            .map(|(c, (name, rooms))| placed_cluster(name, c, rooms, authority.port(), &address))
            .collect();
        Self { authority, authority_room: None, cluster }
    }

    /// All addresses.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        std::iter::once(self.authority)
            .chain(self.cluster.iter().flat_map(|c| c.node.iter().map(|n| n.address)))
    }
}

fn authority(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 9, 0, 1)), port)
}

/// The address of a node: 127.room.cluster.position.
pub fn loopback(room: u16, cluster: u8, position: u8, port: u16) -> SocketAddr {
    let room = u8::try_from(room).unwrap_or(u8::MAX);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, room, cluster, position)), port)
}

fn placed_cluster(
    name: &str,
    cluster: u8,
    rooms: &[u16],
    port: u16,
    address: &impl Fn(u16, u8, u8) -> SocketAddr,
) -> LayoutCluster {
    let node = (1u8..)
        .zip(rooms)
        .map(|(position, room)| LayoutNode {
            name: format!("{name}{position}"),
            room: *room,
            priority: PRIORITIES.get(usize::from(position) - 1).copied().unwrap_or(PRIORITIES[2]),
            address: address(*room, cluster, position),
        })
        .collect();
    let group = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 77, 0, cluster)), port);
    LayoutCluster { name: name.into(), group, node }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_figure_18_is_the_missions() {
        let layout = Layout::four_companies(4750);
        let place = |c: usize, n: usize| {
            let node = layout.cluster.get(c).and_then(|c| c.node.get(n)).expect("four clusters of three");
            (node.room, node.priority, node.address.to_string())
        };
        // room 1: master A, standby b, ordinary c1
        assert_eq!(place(0, 0), (1, 200, "127.1.1.1:4750".into()));
        assert_eq!(place(1, 1), (1, 150, "127.1.2.2:4750".into()));
        assert_eq!(place(2, 2), (1, 100, "127.1.3.3:4750".into()));
        // room 4: master D, standby c, ordinary b1
        assert_eq!(place(3, 0), (4, 200, "127.4.4.1:4750".into()));
        assert_eq!(place(2, 1), (4, 150, "127.4.3.2:4750".into()));
        assert_eq!(place(1, 2), (4, 100, "127.4.2.3:4750".into()));
        assert_eq!(layout.cluster.first().map(|c| c.group.to_string()), Some("239.77.0.1:4750".into()));
    }
}
