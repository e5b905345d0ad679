//! What of a node's configuration is for the holder of its address. The rest of the file is the node's, and not looked at.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What was found.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) socket: Option<PathBuf>,
    pub(crate) address: Option<(Ipv4Addr, u8)>,
    pub(crate) interface: Option<String>,
}

/// Of a file.
///
/// # Errors
/// It cannot be read, or a key of `[vip]` is wrong; for a person.
pub(crate) fn read(path: &Path) -> Result<Found, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("{}: {e}; expected the configuration of the node", path.display()))?;
    find(&text, path.parent().unwrap_or(Path::new(""))).map_err(|why| format!("{}: {why}", path.display()))
}

/// Paths are relative to the file.
fn find(text: &str, beside: &Path) -> Result<Found, String> {
    let all: Table = toml::from_str(text).map_err(|e| e.message().to_owned())?;
    let named = |table: &str, key: &str| match all.get(table).and_then(|table| table.get(key)) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("{table}.{key} is {other}; expected text")),
    };
    let address = named("vip", "address")?;
    let address =
        address.map(|text| crate::address(&text).map_err(|e| format!("vip.address is {text:?}; {e}")));
    // With hooks there is one socket for both; a node has vip.sock by itself.
    let is_hooks = all.get("chain").and_then(Value::as_str) == Some("hooks");
    let socket = match is_hooks {
        true => named("hooks", "socket")?,
        false => Some(named("vip", "socket")?.unwrap_or_else(|| "vip.sock".into())),
    };
    Ok(Found {
        socket: socket.map(|socket| beside.join(socket)),
        address: address.transpose()?,
        interface: named("vip", "interface")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: &str = "[vip]\naddress = \"10.0.0.9/24\"\ninterface = \"eth0\"\n";

    fn found(text: &str) -> Result<Found, String> {
        find(text, Path::new("/etc/duohuo"))
    }

    #[test]
    fn the_socket_is_the_nodes_own_or_that_of_its_hooks() {
        let own = found(VIP).expect("right");
        assert_eq!(own.socket.as_deref(), Some(Path::new("/etc/duohuo/vip.sock")));
        assert_eq!(
            (own.address, own.interface.as_deref()),
            (Some((Ipv4Addr::new(10, 0, 0, 9), 24)), Some("eth0"))
        );
        let named = found(&format!("{VIP}socket = \"/run/duohuo/vip.sock\"\n")).expect("right");
        assert_eq!(named.socket.as_deref(), Some(Path::new("/run/duohuo/vip.sock")));
        let hooks =
            found(&format!("chain = \"hooks\"\n[hooks]\nsocket = \"hooks.sock\"\n{VIP}")).expect("right");
        assert_eq!(hooks.socket.as_deref(), Some(Path::new("/etc/duohuo/hooks.sock")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(found("[vip]\naddress = 7\n").expect_err("no text").contains("vip.address is 7"));
        assert!(found("[vip]\naddress = \"10.0.0.9\"\n").expect_err("no prefix").contains("as 10.0.0.9/24"));
        assert!(found("[vip\n").is_err());
        let nothing = found("chain = \"hooks\"\n").expect("right");
        assert_eq!(nothing, Found::default());
    }
}
