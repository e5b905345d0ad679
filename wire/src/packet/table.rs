//! The list of all packets becomes what is the same for each of them: its type, its variant, and the way from one to
//! the other. Written out it would be nine times the list, and a line forgotten in one of them.

/// From `/// what it is` and `Name = type,` for each packet; `Name` is the struct in scope, with `decode`, `encode` and
/// `extensions`.
macro_rules! packets {
    (
        $(#[$first_doc:meta])* $first:ident = $first_code:literal,
        $($(#[$doc:meta])* $name:ident = $code:literal,)*
    ) => {
        $crate::codec::code_enum! {
            /// The type of a packet.
            PacketType {
                $(#[$first_doc])* $first = $first_code,
                $($(#[$doc])* $name = $code,)*
            }
        }

        impl PacketType {
            /// The name, as in the specification.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Self::$first => stringify!($first),
                    $(Self::$name => stringify!($name),)*
                }
            }
        }

        /// Any packet.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Packet {
            $(#[$first_doc])* $first($first),
            $($(#[$doc])* $name($name),)*
        }

        impl Packet {
            /// The packet's type.
            #[must_use]
            pub const fn packet_type(&self) -> PacketType {
                match self {
                    Self::$first(_) => PacketType::$first,
                    $(Self::$name(_) => PacketType::$name,)*
                }
            }

            /// The packet's name, as in the specification.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                self.packet_type().name()
            }

            /// Reads the body of a packet of a type.
            ///
            /// # Errors
            /// The type is not known; or the first field that is cut, out of range, or not canonical.
            pub fn decode(packet_type: u8, body: &[u8]) -> Result<Self, DecodeError> {
                match packet_type {
                    $first_code => $first::decode(body).map(Self::$first),
                    $($code => $name::decode(body).map(Self::$name),)*
                    _ => Err(DecodeError::UnknownType(packet_type)),
                }
            }

            /// Appends the body.
            pub fn encode(&self, out: &mut BytesMut) {
                match self {
                    Self::$first(packet) => packet.encode(out),
                    $(Self::$name(packet) => packet.encode(out),)*
                }
            }

            /// The extensions that the packet's own fields do not carry.
            #[must_use]
            pub const fn extensions(&self) -> &Extensions {
                match self {
                    Self::$first(packet) => &packet.extensions,
                    $(Self::$name(packet) => &packet.extensions,)*
                }
            }
        }

        impl From<$first> for Packet {
            fn from(packet: $first) -> Self {
                Self::$first(packet)
            }
        }

        $(impl From<$name> for Packet {
            fn from(packet: $name) -> Self {
                Self::$name(packet)
            }
        })*
    };
}
pub(super) use packets;
